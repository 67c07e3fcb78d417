"""Streams of several languages: the tags of each pair, which of them share batches, and how often each is drawn."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import pyarrow.compute as pc

from data.language_tags import Direction, all_rendered, render, source_templates
from stages.languages.directions import COLUMNS
from stages.training.batches.copies import Worth
from stages.training.batches.stream import SEPARATOR, Pairs, Stream
from stages.training.languages_config import LanguagesConfig

# What batches of rows are called that have no soft targets, where others of the stream have.
UNTAUGHT = "untaught"


@dataclass(frozen=True)
class PairedStreams:
    """Streams that know their rows' pairs; `rows` that each pair has, by the stream's name.

    `untaught` are what batches are called that lack the soft targets that others of their stream have: no teacher
    scored their pair.
    """

    streams: Sequence[Stream]
    rows: Mapping[str, Mapping[Direction, int]]
    untaught: Collection[str] = ()

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


def stream_name(name: str, part: object) -> str:
    """What a part of a stream is called, such as a pair's."""
    return f"{name}{SEPARATOR}{part}"


def by_pair(
    streams: Sequence[Stream], tagging: Tagging, sampling_temperature: float = 1.0, *, apart: bool = False
) -> PairedStreams:
    """The streams with each row's tags before its source, and each pair drawn as often as its share of rows says.

    They read COLUMNS beside their own columns. Pairs share batches; with `apart` each has batches of its own, named
    like it. What rows there are is known from the streams, or else counted. Raises ModelError for a language without
    a tag.
    """
    rows = {stream.name: dict(counted(stream) if stream.rows is None else stream.rows) for stream in streams}
    found = [_paired(stream, rows[stream.name], tagging, sampling_temperature, apart=apart) for stream in streams]
    untaught = [
        name
        for given, stream in zip(streams, found, strict=True)
        if given.soft_targets and stream.pairs
        for name, taught in zip(stream.pairs.groups, stream.pairs.taught, strict=True)
        if not taught
    ]
    return PairedStreams(found, rows, list(dict.fromkeys(untaught)))


def sampling_shares(rows: Mapping[Direction, float], temperature: float) -> dict[Direction, float]:
    """rows ** (1 / temperature) of each pair, scaled to sum to 1 (https://arxiv.org/abs/1907.05019, section 3)."""
    weights = {direction: rows[direction] ** (1 / temperature) for direction in sorted(rows)}
    whole = sum(weights.values())
    return {direction: weight / whole for direction, weight in weights.items()}


def counted(stream: Stream) -> Counter[Direction]:
    """Rows with a target by pair: every shard is read."""
    rows: Counter[Direction] = Counter()
    for shard in stream.shards:
        table = shard()
        if stream.target_column in table.column_names:
            table = table.filter(pc.is_valid(table[stream.target_column]))
        for found in table.select(COLUMNS).group_by(list(COLUMNS)).aggregate([([], "count_all")]).to_pylist():
            rows[Direction(*(found[name] for name in COLUMNS))] += found["count_all"]
    return rows


def _paired(
    stream: Stream, rows: Mapping[Direction, int], tagging: Tagging, temperature: float, *, apart: bool
) -> Stream:
    directions = tuple(sorted(rows))
    taught = _taught(stream, directions)
    return replace(
        stream,
        pairs=Pairs(
            directions,
            tuple(tagging.prefix(direction) for direction in directions),
            tuple(_group(stream, each, learns, apart) for each, learns in zip(directions, taught, strict=True)),
            taught,
        ),
        # Where no pair has any, there is nothing to read.
        soft_targets=stream.soft_targets if any(taught) else None,
        worth=_worth(stream, rows, temperature),
    )


def _group(stream: Stream, direction: Direction, taught: bool, apart: bool) -> str:
    if apart:
        return stream_name(stream.name, direction)
    return stream.name if taught or stream.soft_targets is None else stream_name(stream.name, UNTAUGHT)


def _taught(stream: Stream, directions: Sequence[Direction]) -> tuple[bool, ...]:
    """Which pairs have soft targets: all shards of a dataset tell the same."""
    reader = stream.soft_targets
    if reader is None or not stream.shards:
        return (reader is not None,) * len(directions)
    schema = stream.shards[0]().schema
    return tuple(reader.is_for(schema, str(direction)) for direction in directions)


def _worth(stream: Stream, rows: Mapping[Direction, int], temperature: float) -> Worth | None:
    """That of the stream, times what makes a pair's share of the rows what the temperature says; all rows stay as many.

    A row's worth by other columns has been counted in `rows` times it, where there is any.
    """
    if temperature == 1 or len(rows) < 2:
        return stream.worth
    weighed = stream.weighed or rows
    whole = sum(weighed.values())
    factors = {
        direction: share * whole / weighed[direction]
        for direction, share in sampling_shares(weighed, temperature).items()
    }
    own = stream.worth or Worth((), {(): 1.0})
    return Worth(
        (*own.columns, *COLUMNS),
        {(*value, *pair): worth * factors[pair] for (value, worth), pair in product(own.by_value.items(), factors)},
    )
