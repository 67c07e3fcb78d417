"""Columns of Parquet files."""

from collections.abc import Iterable, Iterator
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import DataError
from stages.corpus.readers.files.formats import HEAD_BYTES, recognise
from stages.corpus.readers.files.found import find_files, fixed_part
from stages.corpus.readers.files.sized import Sized
from stages.corpus.readers.paths import published_path, shown_error, shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import ParquetSource

_BATCH_ROWS = 4096
_AS_BYTES = [
    (pa.types.is_string, pa.binary()),
    (pa.types.is_large_string, pa.large_binary()),
    (pa.types.is_string_view, pa.binary_view()),
]


def read_parquet(source: ParquetSource) -> Iterator[RawRow]:
    """Rows of all files in order of their names; raises DataError for a missing column or a damaged file."""
    files, paths, skipped = find_files(source.path)
    if not paths:
        raise DataError(f"{shown_path(source.path)}: no such file, or no .parquet file in it")
    names = [name for name in (source.source_column, source.target_column) if name is not None]
    below = fixed_part(source.path)
    yield from (RawRow(published_path(name, below), None, None, Reason.SKIPPED_FILE) for name in skipped)
    for path, name in paths.items():
        try:
            with files.open(path, "rb") as stream:
                _check_format(stream, shown_path(name))
                file = pq.ParquetFile(pa.PythonFile(Sized(stream), "r"))
                check_columns(file.schema_arrow, names, shown_path(name))
                batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=names)
                yield from rows_of(batches, published_path(name, below), names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last one: of names of columns
            told = shown_error(error, name)
            raise DataError(f"{shown_path(name)} cannot be read as Parquet: {told}") from error


def _check_format(stream: IO[bytes], path: str) -> None:
    """Raises DataError where the content is known as another format; what is not known pyarrow tells."""
    found = recognise(stream.read(HEAD_BYTES))
    stream.seek(0)
    if found and found.key not in {"parquet", "binary"}:
        raise DataError(f"{path} cannot be read as Parquet: it holds {found.words}; {found.advice}")


def rows_of(batches: Iterable[pa.RecordBatch], place: str, names: list[str]) -> Iterator[RawRow]:
    """Rows of the columns of one file, the second the references where there are two."""
    number = 0
    for batch in batches:
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


def check_columns(schema: pa.Schema, names: list[str], path: str) -> None:
    """Raises DataError for a column that is not there, or holds something else than text."""
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


def check_offsets(batch: pa.RecordBatch, names: list[str]) -> None:
    """Raises ArrowInvalid where a damaged column would lead anywhere in memory; what is no UTF-8 is none of that."""
    batch.validate()
    for name in names:
        column = _column(batch, name)
        as_bytes = next((to for test, to in _AS_BYTES if test(column.type)), None)
        (column.view(as_bytes) if as_bytes else column).validate(full=True)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    first, *rest = name.split(".")
    column = batch.column(first)
    for part in rest:
        column = pc.struct_field(column, part)
    return column


def _values(batch: pa.RecordBatch, name: str) -> list[str | bytes | None]:
    """Texts of a column; bytes where they are no UTF-8, which Parquet does not check."""
    column = _column(batch, name)
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
