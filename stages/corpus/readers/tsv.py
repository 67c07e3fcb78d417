"""Tables of separated values, a row a line."""

import csv
import difflib
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from data.errors import DataError
from stages.corpus.readers.lines import Line, read_lines
from stages.corpus.readers.paths import published_path, shown_path
from stages.corpus.readers.quoted import Record, quoted_records, quoted_values
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import Column, TsvSource

# Columns beside the two that are read may be long too.
_COLUMNS = 16
# So many lines say how many columns there are: the first alone may be the damaged one.
_SAMPLE_LINES = 100
_QUOTED_SAMPLE = 100_000  # characters of a record
_ACCEPTED = ("tsv", "bars", "html", "jsonl")  # a first column may hold tags or JSON


def read_tsv(source: TsvSource, longest: int) -> Iterator[RawRow]:
    """Rows in order of lines, all with as many columns as most of the first lines; DataError for a missing column."""
    most = _COLUMNS * longest
    # Where tabs are asked for and commas are found, each line would be one value.
    accepted = _ACCEPTED if source.separator == "\t" and not source.quoted else (*_ACCEPTED, "csv", "semicolons")
    lines = read_lines(source.file, most, accepted, source.anything)
    sample = list(islice(lines, _SAMPLE_LINES))
    width = _usual_width(source, sample)
    records = _records(source, chain(sample, lines), most, width)
    header = _header(source, next(records, None), width) if _has_header(source) else None
    indices = [_index(column, header, width, source) for column in (source.source_column, source.target_column)]
    place = published_path(source.file)
    for record in records:
        yield _row(f"{place}:{record.number}", record, width, indices)


def _usual_width(source: TsvSource, sample: list[Line]) -> int:
    """The number of columns that most lines have; of two as frequent the larger."""
    texts = [line.text for line in sample if line.reason is None and line.text.strip()]
    if source.quoted and sample and _has_header(source):
        # Values over several lines hide how many there are; the names of columns stand in one.
        width = len(quoted_values(sample[0].text, source.separator) or ())
        records = quoted_records(sample[1:], source.separator, _QUOTED_SAMPLE, width)
        if width and (len(sample) == 1 or any(len(record.values) == width for record in records)):
            return width
    widths = Counter(len(values) for text in texts if (values := _split(source, text)) is not None)
    # What goes on in a further line looks like a record of fewer columns than are asked for.
    enough = {width for width in widths if source.quoted and width >= _asked(source)}
    if source.quoted and not enough and (width := _width_over_lines(source, texts)):
        return width
    return max(enough or widths, key=lambda width: (widths[width], width), default=0)


def _width_over_lines(source: TsvSource, texts: list[str]) -> int:
    """The columns of a table whose every record goes over several lines; 0 where that is no table either."""
    try:
        found = csv.reader((f"{text}\n" for text in texts), delimiter=source.separator, strict=True)
        widths = Counter(len(record) for record in _whole(found))
    except csv.Error:
        return 0
    return max((width for width in widths if width >= _asked(source)), key=lambda width: widths[width], default=0)


def _whole(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """Those before the end, which may cut the last one."""
    found = False
    while True:
        try:
            yield next(records)
            found = True
        except StopIteration:
            return
        except csv.Error:
            if found:
                return
            raise


def _asked(source: TsvSource) -> int:
    """The least number of columns that there must be."""
    columns = {source.source_column, source.target_column} - {None}
    return max(len(columns), *(column + 1 for column in columns if isinstance(column, int)), 1)


def _split(source: TsvSource, text: str) -> list[str] | None:
    return quoted_values(text, source.separator) if source.quoted else text.rstrip("\r").split(source.separator)


def _records(source: TsvSource, lines: Iterator[Line], most: int, width: int) -> Iterator[Record]:
    if source.quoted:
        return quoted_records(lines, source.separator, most, width)
    return (
        Record(number, line.text, line.text.rstrip("\r").split(source.separator), line.reason)
        for number, line in enumerate(lines, 1)
    )


def _has_header(source: TsvSource) -> bool:
    named = isinstance(source.source_column, str) or isinstance(source.target_column, str)
    return named if source.header is None else source.header


def _header(source: TsvSource, first: Record | None, width: int) -> list[str] | None:
    """Names of the columns; DataError where the first line cannot have them."""
    if first is None:
        return None
    if first.reason or len(first.values) != width:
        found = first.reason or f"{len(first.values)} columns where most lines have {width}"
        raise DataError(
            f"{shown_path(source.file)}:1: the names of columns are expected here, found was {found}: "
            f"{first.text[:80]!r}; mend it, or give the columns by their index with header = false"
        )
    return first.values


def _row(location: str, record: Record, width: int, indices: list[int | None]) -> RawRow:
    if record.reason or len(record.values) != width:
        return RawRow(location, record.text, None, record.reason or Reason.WRONG_COLUMNS)
    source, target = (None if index is None else record.values[index] for index in indices)
    return RawRow(location, source, target)


def _index(column: Column | None, header: list[str] | None, width: int, source: TsvSource) -> int | None:
    if column is None or not width:
        return None
    if isinstance(column, int):
        if column < width:
            return column
        raise DataError(f"{shown_path(source.file)}: no column {column}; its lines have {width}, counted from 0")
    names = header or []
    if column in names:
        return names.index(column)
    near = difflib.get_close_matches(column, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"its header has {', '.join(names)[:200]}"
    raise DataError(f"{shown_path(source.file)}: no column {column!r}; {hint}")
