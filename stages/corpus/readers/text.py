"""Parallel text files, one segment a line."""

from collections.abc import Iterator
from itertools import zip_longest

from data.errors import DataError
from stages.corpus.readers.files.shards import paired, shards
from stages.corpus.readers.lines import Line, read_lines
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import TextSource


def read_text(source: TextSource, longest: int) -> Iterator[RawRow]:
    """Rows in order of files and lines; raises DataError when two files have unequal numbers of lines."""
    if source.target_file is None:
        for shard in shards(source.source_file):
            for number, line in enumerate(read_lines(shard.path, longest, (), source.anything), 1):
                yield RawRow(f"{shard.place}:{number}", line.text, None, line.reason)
        return
    for shard, other in paired(source.source_file, source.target_file):
        yield from read_parallel(shard.path, other.path, shard.place, longest, source.anything)


def read_parallel(path: str, other_path: str, place: str, longest: int, anything: bool) -> Iterator[RawRow]:
    """Rows of two files, line by line each other's translation; raises DataError as above."""
    counts = [0, 0]
    pairs = zip_longest(read_lines(path, longest, (), anything), read_lines(other_path, longest, (), anything))
    for number, (line, other) in enumerate(pairs, 1):
        if line and other:
            yield _row(f"{place}:{number}", line, other)
            counts = [number, number]
        else:
            counts[0 if line else 1] = number
    if counts[0] != counts[1]:
        raise DataError(
            f"{shown_path(path)} has {counts[0]} lines and {shown_path(other_path)} has {counts[1]}; expected as many "
            "in both, line by line each other's translation"
        )


def _row(location: str, line: Line, other: Line) -> RawRow:
    return RawRow(location, line.text, other.text, line.reason or other.reason)
