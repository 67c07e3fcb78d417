"""Some rows of a stream, encoded, and how they are cut into batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.training.batches.cutting import cut
from stages.training.batches.encoding import Encoder, TextEncoder, sampled
from stages.training.batches.position import Counts, Position
from stages.training.batches.ragged import Ragged
from stages.training.batches.stream import Array, Soft, Stream
from stages.training.vocabulary import BEGIN_ID, END_ID, PADDING_ID, Vocabulary

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Lane:
    """Rows that carry the same beside their tokens."""

    source: Ragged
    target: Ragged
    soft: Mapping[str, Soft]
    # Of each row its place in the pool's table and the place of its group's name.
    rows: Places
    groups: npt.NDArray[np.int64]
    usable: Places


class Planned(NamedTuple):
    """A batch to be: rows of a lane, all of one group."""

    lane: Lane
    group: str
    rows: Places


@dataclass(frozen=True)
class Pool:
    """Batches in their order, where it begins and where the next one does, and the epoch's rows up to its end."""

    begin: Position
    plan: Sequence[Planned]
    after: Position
    counts: Counts


@dataclass(frozen=True)
class PoolEncoder:
    """Makes lanes of a table; see `BatchSource` for what its fields are."""

    stream: Stream
    encoder: Encoder
    source: TextEncoder
    target: TextEncoder
    vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    max_tokens: int
    seed: int

    @classmethod
    def of(
        cls, stream: Stream, encoder: Encoder, source: Vocabulary, target: Vocabulary, max_tokens: int, seed: int
    ) -> "PoolEncoder":
        """`source` and `target` are the model's vocabularies."""
        texts = TextEncoder.of_source(encoder, source), TextEncoder.of_target(encoder, target)
        return cls(stream, encoder, *texts, source, target, max_tokens, seed)

    def lanes(self, table: pa.Table) -> list[Lane]:
        """Rows of a table that all have a target: those with soft targets, and those without where both are."""
        stream, places = self.stream, np.arange(table.num_rows)
        pairs = None if stream.pairs is None else stream.pairs.places(table)
        if stream.soft_targets is None or stream.pairs is None or pairs is None or all(stream.pairs.taught):
            return [self._lane(table, places, pairs, learned=True)]
        taught = np.array(stream.pairs.taught)[pairs]
        return [
            self._lane(table.filter(pa.array(here)), places[here], pairs[here], learned=learned)
            for learned, here in ((True, taught), (False, ~taught))
            if here.any()
        ]

    def _lane(self, table: pa.Table, rows: Places, pairs: npt.NDArray[np.int64] | None, *, learned: bool) -> Lane:
        stream = self.stream
        before = self._before(pairs)
        source = self._sources(table).within(before=before)
        target = self._targets(table[stream.target_column]).within(after=[END_ID])
        usable = (source.lengths > before.shape[-1]) & (target.lengths > 1)
        usable &= (source.lengths < self.max_tokens) & (target.lengths <= self.max_tokens)
        soft = stream.soft_targets.read(table) if stream.soft_targets and learned else {}
        groups = np.zeros(len(rows), dtype=np.int64) if pairs is None else self._groups()[pairs]
        return Lane(source, target, soft, rows, groups, np.flatnonzero(usable))

    def _sources(self, table: pa.Table) -> Ragged:
        if self.stream.sampling is not None:
            return sampled(self.encoder, table, self.stream.sampling, self.seed, self.vocabulary)
        return self.source.encode(table["source"].to_pylist())

    def _targets(self, column: pa.ChunkedArray) -> Ragged:
        if pa.types.is_list(column.type):
            return Ragged.of(column, self.target_vocabulary)
        return self.target.encode(column.to_pylist())

    def _before(self, pairs: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int32]:
        """Ids before every source, [n], or before each its own, [N, n]."""
        prefix = self.stream.source_prefix
        if self.stream.pairs is None or pairs is None:
            return np.array(self.vocabulary.meant(prefix), dtype=np.int32)
        each = [self.vocabulary.meant((*prefix, *own)) for own in self.stream.pairs.prefixes]
        return np.array(each, dtype=np.int32).reshape(len(each), -1)[pairs]

    def _groups(self) -> npt.NDArray[np.int64]:
        """Of each pair the place of its group among the names."""
        pairs = self.stream.pairs
        return np.array([] if pairs is None else [group_names(self.stream).index(name) for name in pairs.groups])


def group_names(stream: Stream) -> list[str]:
    """What batches of a stream are called."""
    return [stream.name] if stream.pairs is None else list(dict.fromkeys(stream.pairs.groups))


def planned(
    stream: Stream, lanes: Sequence[Lane], batch_tokens: int, random: np.random.Generator | None, *, flush: bool
) -> tuple[list[Planned], Places]:
    """Batches of these lanes, shuffled, and the places in their table of rows that fill none.

    Without `random` they come by length; with `flush` nothing is left.
    """
    names, plan, left = group_names(stream), list[Planned](), list[Places]()
    for lane, group, rows in _grouped(lanes):
        order = rows if random is None else random.permutation(rows)
        source, target = lane.source.lengths[order], lane.target.lengths[order]
        sorting = np.lexsort((source, target))
        middle = len(rows) if random is None else int(random.integers(len(rows) + 1))
        batches, rest = cut(order[sorting], np.maximum(source, target)[sorting], batch_tokens, middle)
        if flush and len(rest):
            batches, rest = [*batches, rest], rest[:0]
        plan += [Planned(lane, names[group], batch) for batch in batches]
        left.append(lane.rows[rest])
    if random is not None:
        plan = [plan[number] for number in random.permutation(len(plan))]
    return plan, np.sort(np.concatenate(left)) if left else np.empty(0, dtype=np.intp)


def _grouped(lanes: Sequence[Lane]) -> Iterator[tuple[Lane, int, Places]]:
    """The usable rows of each group."""
    for lane in lanes:
        groups = lane.groups[lane.usable]
        for group in np.unique(groups).tolist():
            yield lane, group, lane.usable[groups == group]


class Sides(NamedTuple):
    """The padded rows of a batch: src [B, S], tgt [B, 1 + T] with <s>, and their lengths without it, [B] each."""

    src: npt.NDArray[np.int32]
    tgt: npt.NDArray[np.int32]
    srclen: npt.NDArray[np.int64]
    tgtlen: npt.NDArray[np.int64]


def padded(planned_batch: Planned) -> Sides:
    """The rows of a batch side by side."""
    lane, rows = planned_batch.lane, planned_batch.rows
    target = lane.target.padded(rows, PADDING_ID)
    begin = np.full((len(rows), 1), BEGIN_ID, dtype=target.dtype)
    whole = np.concatenate([begin, target], axis=1)
    return Sides(lane.source.padded(rows, PADDING_ID), whole, lane.source.lengths[rows], lane.target.lengths[rows])


def soft_of(planned_batch: Planned) -> dict[str, Array]:
    """Soft targets of a batch, by name, position after position."""
    lane, rows = planned_batch.lane, planned_batch.rows
    return {name: lane.target.gathered(values, rows) for name, values in lane.soft.items()}
