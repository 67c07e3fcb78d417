"""Parallel text files, one segment a line."""

from collections.abc import Iterator
from itertools import zip_longest

from data.errors import DataError
from stages.corpus.readers.lines import Line, read_lines
from stages.corpus.readers.paths import published_path, shown_path
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import TextSource


def read_text(source: TextSource, longest: int) -> Iterator[RawRow]:
    """Rows in order of lines; raises DataError when the files have unequal numbers of lines."""
    place = published_path(source.source_file)
    if source.target_file is None:
        for number, line in enumerate(read_lines(source.source_file, longest), 1):
            yield RawRow(f"{place}:{number}", line.text, None, line.reason)
        return
    counts = [0, 0]
    pairs = zip_longest(read_lines(source.source_file, longest), read_lines(source.target_file, longest))
    for number, (line, other) in enumerate(pairs, 1):
        if line and other:
            yield _row(f"{place}:{number}", line, other)
            counts = [number, number]
        else:
            counts[0 if line else 1] = number
    if counts[0] != counts[1]:
        raise DataError(
            f"{shown_path(source.source_file)} has {counts[0]} lines and {shown_path(source.target_file)} has "
            f"{counts[1]}; expected as many in both, line by line each other's translation"
        )


def _row(location: str, line: Line, other: Line) -> RawRow:
    return RawRow(location, line.text, other.text, line.reason or other.reason)
