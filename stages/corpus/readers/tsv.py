"""Tables of separated values, a row a line."""

import difflib
from collections.abc import Iterator

from data.errors import DataError
from stages.corpus.readers.lines import read_lines
from stages.corpus.readers.paths import published_path, shown_path
from stages.corpus.readers.quoted import Record, quoted_records
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import Column, TsvSource

# Columns beside the two that are read may be long too.
_COLUMNS = 16


def read_tsv(source: TsvSource, longest: int) -> Iterator[RawRow]:
    """Rows in order of lines; the first line sets the number of columns; raises DataError for a missing column."""
    width, place = 0, published_path(source.file)
    source_index, target_index = 0, None
    for record in _records(source, longest):
        if not width:
            width = len(record.values)
            source_index = _index(source.source_column, record.values, source)
            target_index = None if source.target_column is None else _index(source.target_column, record.values, source)
            if _has_header(source):
                continue
        yield _row(f"{place}:{record.number}", record, width, source_index, target_index)


def _row(location: str, record: Record, width: int, source_index: int, target_index: int | None) -> RawRow:
    if record.reason or len(record.values) != width:
        return RawRow(location, record.text, None, record.reason or Reason.WRONG_COLUMNS)
    return RawRow(location, record.values[source_index], None if target_index is None else record.values[target_index])


def _has_header(source: TsvSource) -> bool:
    named = isinstance(source.source_column, str) or isinstance(source.target_column, str)
    return named if source.header is None else source.header


def _records(source: TsvSource, longest: int) -> Iterator[Record]:
    most = _COLUMNS * longest
    lines = read_lines(source.file, most)
    if source.quoted:
        return quoted_records(lines, source.separator, most)
    return (
        Record(number, line.text, line.text.rstrip("\r").split(source.separator), line.reason)
        for number, line in enumerate(lines, 1)
    )


def _index(column: Column, values: list[str], source: TsvSource) -> int:
    if isinstance(column, int):
        if column < len(values):
            return column
        raise DataError(
            f"{shown_path(source.file)}: no column {column}; its first line has {len(values)}, counted from 0"
        )
    if column in values:
        return values.index(column)
    near = difflib.get_close_matches(column, values, n=1)
    hint = f"did you mean {near[0]}?" if near else f"its header has {', '.join(values)[:200]}"
    raise DataError(f"{shown_path(source.file)}: no column {column!r}; {hint}")
