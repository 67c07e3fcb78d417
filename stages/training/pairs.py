"""Streams of several languages taken apart: one a language pair, with its tags, and the share each has of batches."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from data.language_tags import Direction, all_rendered, render, source_templates
from stages.directions import COLUMNS, directions_of
from stages.training.batches import Shard, Stream
from stages.training.languages_config import LanguagesConfig
from stages.training.schedules import Value, scaled

# Between a stream's name and its pair.
_SEPARATOR = "/"


@dataclass(frozen=True)
class PairedStreams:
    """A stream for each pair of each mixed one; `rows` that each pair has, by the mixed stream's name."""

    streams: Sequence[Stream]
    rows: Mapping[str, Mapping[Direction, int]]
    sampling_temperature: float

    def shares(self, shares: Mapping[str, Value]) -> dict[str, Value]:
        """Shares of mixed streams as shares of their pairs' streams."""
        return {
            stream_name(name, direction): scaled(share, part)
            for name, share in shares.items()
            for direction, part in sampling_shares(self.rows[name], self.sampling_temperature).items()
        }

    def directions(self) -> list[Direction]:
        """All pairs, in the order of their names."""
        return sorted({direction for rows in self.rows.values() for direction in rows})


@dataclass(frozen=True)
class Tagging:
    """What stands before a source of each direction: templates, and what stands for the languages in them."""

    templates: tuple[str, ...]
    names: Mapping[str, str]

    @classmethod
    def of(cls, config: LanguagesConfig, directions: Sequence[Direction]) -> "Tagging":
        """For all languages of some pairs, so that other pairs of them can be asked for, too."""
        languages = sorted({language for direction in directions for language in direction})
        return cls(source_templates(config.tags), {language: language for language in languages})

    def prefix(self, direction: Direction) -> tuple[str, ...]:
        """The tokens before a source of this direction."""
        return render(self.templates, direction, self.names)

    def tokens(self) -> tuple[str, ...]:
        """All that a vocabulary must hold."""
        return all_rendered(self.templates, self.names)


def stream_name(name: str, direction: Direction) -> str:
    """What a pair's part of a stream is called."""
    return f"{name}{_SEPARATOR}{direction}"


def pair_of(stream: str) -> str:
    """The pair of a stream so called; empty for one of mixed languages."""
    return stream.partition(_SEPARATOR)[2]


def by_pair(streams: Sequence[Stream], tagging: Tagging, sampling_temperature: float = 1.0) -> PairedStreams:
    """A stream for each pair of each of the streams, with its tags before every source.

    The streams read COLUMNS beside their own columns; they are read once, to count. A pair's stream reads only shards
    that have rows of it. Raises ModelError for a language without a tag.
    """
    counted = {stream.name: [_count(read(), stream.target_column) for read in stream.shards] for stream in streams}
    rows = {name: dict(sum(counts, Counter[Direction]())) for name, counts in counted.items()}
    parts = [
        _part(stream, counted[stream.name], direction, tagging.prefix(direction))
        for stream in streams
        for direction in sorted(rows[stream.name])
    ]
    return PairedStreams(parts, rows, sampling_temperature)


def sampling_shares(rows: Mapping[Direction, int], temperature: float) -> dict[Direction, float]:
    """rows ** (1 / temperature) of each pair, scaled to sum to 1 (https://arxiv.org/abs/1907.05019, section 3)."""
    weights = {direction: rows[direction] ** (1 / temperature) for direction in sorted(rows)}
    whole = sum(weights.values())
    return {direction: weight / whole for direction, weight in weights.items()}


def _count(table: pa.Table, target: str) -> Counter[Direction]:
    return Counter(directions_of(table.filter(pc.is_valid(table[target]))))


def _part(
    stream: Stream, counts: Sequence[Counter[Direction]], direction: Direction, prefix: tuple[str, ...]
) -> Stream:
    pairs = zip(stream.shards, counts, strict=True)
    shards = [partial(_rows_of, read, direction) for read, counted in pairs if counted[direction]]
    return replace(
        stream,
        name=stream_name(stream.name, direction),
        shards=shards,
        source_prefix=(*stream.source_prefix, *prefix),
    )


def _rows_of(read: Shard, direction: Direction) -> pa.Table:
    table = read()
    source, target = (pc.equal(table[name], tag) for name, tag in zip(COLUMNS, direction, strict=True))
    return table.filter(pc.and_(source, target))
