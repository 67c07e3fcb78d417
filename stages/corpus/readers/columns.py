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

# A text that stands there once and is meant a thousand times takes its place once: it is read with its dictionary.
# Those inside of other columns pyarrow cannot read so.
_BATCH_ROWS, _NESTED_BATCH_ROWS = 4096, 256
# A column of a row group that is larger than this, and so many times as large as what is packed, is no text.
_LARGE_COLUMN, _MOST_PACKED = 1 << 28, 200
_AS_BYTES = [
    (pa.types.is_string, pa.binary()),
    (pa.types.is_large_string, pa.large_binary()),
    (pa.types.is_string_view, pa.binary_view()),
]
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


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
                packed = pa.PythonFile(Sized(stream), "r")
                file = pq.ParquetFile(packed)
                check_columns(file.schema_arrow, names, shown_path(name))
                _check_sizes(file.metadata, names, shown_path(name))
                outer = [column for column in names if column in file.schema_arrow.names]
                file = pq.ParquetFile(packed, metadata=file.metadata, read_dictionary=outer)
                rows = _BATCH_ROWS if len(outer) == len(names) else _NESTED_BATCH_ROWS
                batches = file.iter_batches(batch_size=rows, columns=names)
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


def _check_sizes(metadata: pq.FileMetaData, names: list[str], path: str) -> None:
    """Raises DataError for a column that unpacks to far more than any text does."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            size, packed = column.total_uncompressed_size, max(column.total_compressed_size, 1)
            if column.path_in_schema in names and size > _LARGE_COLUMN and size > _MOST_PACKED * packed:
                raise DataError(
                    f"{path} cannot be read as Parquet: {packed} bytes of column {column.path_in_schema} unpack to "
                    f"{size}, as no text does; is it damaged, or made to fill memory?"
                )


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
    for part in _parts(schema, name):
        fields = list(kind) if pa.types.is_struct(kind) else []
        names = [field.name for field in fields]
        if names.count(part) > 1:
            raise DataError(f"{path}: {names.count(part)} columns are named {part}; expected one: rename the others")
        if part not in names:
            raise DataError(f"{path}: no column {name}; {part} is not among {', '.join(names)[:200] or 'no fields'}")
        kind = fields[names.index(part)].type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    # A column without any value has the type null.
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    if not any(test(kind) for test in (*kinds, *_BYTES)):
        raise DataError(f"{path}: column {name} holds {kind}; expected text (string)")


def _parts(schema: pa.Schema, name: str) -> list[str]:
    """Names from the outermost column on; a column may have dots in its own name."""
    return [name] if name in schema.names else name.split(".")


def check_offsets(batch: pa.RecordBatch, names: list[str]) -> None:
    """Raises ArrowInvalid where a damaged column would lead anywhere in memory; what is no UTF-8 is none of that."""
    batch.validate()
    for name in names:
        column = _column(batch, name)
        as_bytes = next((to for test, to in _AS_BYTES if test(column.type)), None)
        (column.view(as_bytes) if as_bytes else column).validate(full=True)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    first, *rest = _parts(batch.schema, name)
    column = batch.column(first)
    for part in rest:
        column = pc.struct_field(column, part)
    return column


def _values(batch: pa.RecordBatch, name: str) -> list[str | bytes | None]:
    """Texts of a column; bytes where they are no UTF-8, which Parquet does not check."""
    column = _column(batch, name)
    return _of_dictionary(column) if pa.types.is_dictionary(column.type) else _plain(column)


def _of_dictionary(column: pa.DictionaryArray) -> list[str | bytes | None]:
    # Of a large one that many batches share, what this one needs; views cannot be taken from.
    used = pc.unique(column.indices.drop_null())
    is_view = pa.types.is_string_view(column.dictionary.type) or pa.types.is_binary_view(column.dictionary.type)
    values = _plain(column.dictionary if is_view else column.dictionary.take(used))
    texts = dict(enumerate(values)) if is_view else dict(zip(used.to_pylist(), values, strict=True))
    return [None if index is None else texts[index] for index in column.indices.to_pylist()]


def _plain(column: pa.Array) -> list[str | bytes | None]:
    if any(test(column.type) for test in _BYTES):  # as Spark and Impala write text, with nothing that says it is
        return [_text_or_bytes(value) for value in column.to_pylist()]
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_text_or_bytes(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _text_or_bytes(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value
