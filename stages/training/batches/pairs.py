"""Streams of several languages taken apart: one a language pair, with its tags, and the share each has of batches."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from data.language_tags import Direction, all_rendered, render, source_templates
from stages.languages.directions import COLUMNS, directions_of
from stages.training.batches.batches import Shard, Stream
from stages.training.languages_config import LanguagesConfig
from stages.training.schedules import Value, scaled

# Between a stream's name and its pair.
_SEPARATOR = "/"


@dataclass(frozen=True)
class PairedStreams:
    """A stream for each pair of each mixed one; `rows` that each pair has, by the mixed stream's name.

    `untaught` are those of the streams that lost the soft targets that others of the mixed one have: no teacher scored
    them.
    """

    streams: Sequence[Stream]
    rows: Mapping[str, Mapping[Direction, int]]
    sampling_temperature: float
    untaught: Collection[str] = ()

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


def name_of(stream: str) -> str:
    """The mixed stream that one so called is a part of."""
    return stream.partition(_SEPARATOR)[0]


def pair_of(stream: str) -> str:
    """The pair of a stream so called; empty for one of mixed languages."""
    return stream.partition(_SEPARATOR)[2]


def by_pair(streams: Sequence[Stream], tagging: Tagging, sampling_temperature: float = 1.0) -> PairedStreams:
    """A stream for each pair of each of the streams, with its tags before every source.

    The streams read COLUMNS beside their own columns; they are read once, to count. A pair's stream reads only shards
    that have rows of it. Raises ModelError for a language without a tag.
    """
    counted = {stream.name: [_counted(stream, shard) for shard in range(len(stream.shards))] for stream in streams}
    rows = {name: dict(sum((shard.rows for shard in found), Counter[Direction]())) for name, found in counted.items()}
    parts = [
        _part(stream, counted[stream.name], direction, tagging.prefix(direction))
        for stream in streams
        for direction in sorted(rows[stream.name])
    ]
    taught = {stream.name for stream in streams if stream.soft_targets}
    untaught = [part.name for part in parts if part.soft_targets is None and name_of(part.name) in taught]
    return PairedStreams(parts, rows, sampling_temperature, untaught)


def sampling_shares(rows: Mapping[Direction, int], temperature: float) -> dict[Direction, float]:
    """rows ** (1 / temperature) of each pair, scaled to sum to 1 (https://arxiv.org/abs/1907.05019, section 3)."""
    weights = {direction: rows[direction] ** (1 / temperature) for direction in sorted(rows)}
    whole = sum(weights.values())
    return {direction: weight / whole for direction, weight in weights.items()}


class _Counted(NamedTuple):
    """Of a shard: rows with a target by pair, and the pairs that have soft targets, if any has."""

    rows: Counter[Direction]
    taught: Collection[Direction]


def _counted(stream: Stream, shard: int) -> _Counted:
    table = stream.read(shard, 0)
    rows = Counter(directions_of(table.filter(pc.is_valid(table[stream.target_column]))))
    reader = stream.soft_targets
    return _Counted(rows, [pair for pair in rows if reader and reader.is_for(table.schema, str(pair))])


def _part(stream: Stream, counted: Sequence[_Counted], direction: Direction, prefix: tuple[str, ...]) -> Stream:
    held = [(read, found) for read, found in zip(stream.shards, counted, strict=True) if found.rows[direction]]
    return replace(
        stream,
        name=stream_name(stream.name, direction),
        shards=[partial(_rows_of, read, direction) for read, _ in held],
        soft_targets=stream.soft_targets if all(direction in found.taught for _, found in held) else None,
        source_prefix=(*stream.source_prefix, *prefix),
    )


def _rows_of(read: Shard, direction: Direction) -> pa.Table:
    table = read()
    source, target = (pc.equal(table[name], tag) for name, tag in zip(COLUMNS, direction, strict=True))
    return table.filter(pc.and_(source, target))
