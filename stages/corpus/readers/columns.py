"""Columns of Parquet files."""

from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import DataError
from stages.corpus.readers.paths import published_path, shown_error, shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import ParquetSource

_BATCH_ROWS = 4096
_WILD = "*?["


def read_parquet(source: ParquetSource) -> Iterator[RawRow]:
    """Rows of all files in order of their names; raises DataError for a missing column or a damaged file."""
    files, paths = find_files(source.path)
    if not paths:
        raise DataError(f"{shown_path(source.path)}: no such file, or no .parquet file in it")
    names = [name for name in (source.source_column, source.target_column) if name is not None]
    below = _fixed_part(source.path) if any(mark in source.path for mark in _WILD) else source.path
    for path, name in paths.items():
        try:
            with files.open(path, "rb") as stream:
                file = pq.ParquetFile(stream)
                _check_columns(file.schema_arrow, names, shown_path(name))
                yield from _read_file(file, published_path(name, below), names)
        except (pa.ArrowException, OSError) as error:
            told = shown_error(error, name)
            raise DataError(f"{shown_path(name)} cannot be read as Parquet: {told}") from error


def find_files(path: str) -> tuple[Any, dict[str, str]]:
    """The file system, and the sorted files of a path, a glob or a folder with their names below the recipe's path."""
    files, root = fsspec.core.url_to_fs(path)
    if files.isdir(root):
        found = [name for name in files.find(root) if name.endswith(".parquet")]
        return files, {name: f"{path.rstrip('/')}{name[len(root.rstrip('/')) :]}" for name in sorted(found)}
    if files.exists(root):
        return files, {root: path}
    if not any(mark in path for mark in _WILD):
        return files, {}
    # The part without wildcards is as long in `path` as it is given; in `root` it is absolute.
    tail = len(path) - len(_fixed_part(path))
    return files, {name: _fixed_part(path) + name[len(root) - tail :] for name in sorted(files.glob(root))}


def _fixed_part(path: str) -> str:
    first = min(path.index(mark) for mark in _WILD if mark in path)
    return path[: path.rfind("/", 0, first) + 1]


def _read_file(file: pq.ParquetFile, place: str, names: list[str]) -> Iterator[RawRow]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
        columns = [_values(batch, name) for name in names]
        references = columns[1] if len(columns) == 2 else [None] * batch.num_rows
        for source, reference in zip(columns[0], references, strict=True):
            yield _row(f"{place}:{number}", source, reference)
            number += 1


def _row(location: str, source: str | bytes | None, reference: str | bytes | None) -> RawRow:
    if isinstance(source, bytes) or isinstance(reference, bytes):
        shown = source.decode("utf-8", "replace") if isinstance(source, bytes) else source
        return RawRow(location, shown, None, Reason.NOT_UTF8)
    return RawRow(location, source or "", reference)


def _check_columns(schema: pa.Schema, names: list[str], path: str) -> None:
    for name in names:
        _check_column(schema, name, path)


def _check_column(schema: pa.Schema, name: str, path: str) -> None:
    kind: pa.DataType = pa.struct(schema)
    for part in name.split("."):
        names = [field.name for field in kind] if pa.types.is_struct(kind) else []
        if part not in names:
            raise DataError(f"{path}: no column {name}; {part} is not among {', '.join(names)[:200] or 'no fields'}")
        kind = kind.field(part).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    # A column without any value has the type null.
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    if not any(test(kind) for test in kinds):
        raise DataError(f"{path}: column {name} holds {kind}; expected text (string)")


def _values(batch: pa.RecordBatch, name: str) -> list[str | bytes | None]:
    """Texts of a column; bytes where they are no UTF-8, which Parquet does not check."""
    first, *rest = name.split(".")
    column = batch.column(first)
    for part in rest:
        column = pc.struct_field(column, part)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_text_or_bytes(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _text_or_bytes(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value
