"""The rows that a training is validated on: a bounded sample of what there is, the same each time."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.training.batches.batches import Batch, BatchSource, Position, Stream
from stages.training.tensors import TorchBatch, to_torch


@dataclass(frozen=True)
class Sample:
    """Streams of one shard each that hold the rows taken, out of `of` that have a target."""

    streams: Sequence[Stream]
    of: int

    def tables(self) -> Iterator[tuple[Stream, pa.Table]]:
        """Each stream with its rows."""
        return ((stream, stream.read(0, 0)) for stream in self.streams)


def sampled(streams: Sequence[Stream], most: int) -> Sample:
    """At most `most` rows that have a target: of each stream those of the smallest hash, in the order they come in.

    Each stream has as many as any other, as far as it has so many. All shards are read once.
    """
    found = [_Smallest(stream, most) for stream in streams]
    counts = _shared([len(one.hashes) for one in found], most)
    held = [
        replace(one.stream, shards=[one.reader(count)], draw=None) for one, count in zip(found, counts, strict=True)
    ]
    return Sample([stream for stream in held if stream.read(0, 0).num_rows], sum(one.of for one in found))


class _Smallest:
    """Of one stream the rows of the smallest hashes, and how many there are."""

    def __init__(self, stream: Stream, most: int) -> None:
        self.stream, self.of = stream, 0
        self.hashes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._tables: list[pa.Table] = []
        for shard in range(len(stream.shards)):
            table = stream.read(shard, 0)
            table = table.filter(table[stream.target_column].is_valid())
            self.of += table.num_rows
            self._tables.append(table)
            self.hashes = np.concatenate([self.hashes, _hashes(table, stream.target_column)])
            self._cut(most)

    def reader(self, count: int) -> "_Held":
        """What gives `count` of them."""
        self._cut(count)
        return _Held(pa.concat_tables(self._tables) if self._tables else pa.table({}))

    def _cut(self, most: int) -> None:
        if len(self.hashes) <= most:
            return
        # A stable order: of equal hashes the earlier row stays.
        rows = np.sort(np.argsort(self.hashes, kind="stable")[:most])
        self._tables, self.hashes = [pa.concat_tables(self._tables).take(rows)], self.hashes[rows]


@dataclass(frozen=True)
class _Held:
    table: pa.Table

    def __call__(self) -> pa.Table:
        return self.table


def _hashes(table: pa.Table, target: str) -> npt.NDArray[np.uint64]:
    """Of each row's texts, whatever else there is in the row."""
    pairs = zip(table["source"].to_pylist(), table[target].to_pylist(), strict=True)
    digests = (hashlib.blake2b(repr(pair).encode(), digest_size=8).digest() for pair in pairs)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _shared(rows: Sequence[int], most: int) -> list[int]:
    """How many of each count may stay, `most` in all: the smaller ones whole, as many of each of the others."""
    counts = [0] * len(rows)
    left = most
    for done, place in enumerate(sorted(range(len(rows)), key=lambda place: rows[place])):
        counts[place] = min(rows[place], left // (len(rows) - done))
        left -= counts[place]
    return counts


@dataclass
class ValidBatches:
    """The sample as batches: cut once, and gone through at each validation."""

    sources: Mapping[str, BatchSource]
    device: str
    separator: int | None
    _made: list[Batch] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[TorchBatch, int]]:
        for batch in self._batches():
            yield to_torch(batch, None, self.device, self.separator), 0

    def rows(self) -> int:
        """Rows that are looked at: those that are too long are not."""
        return sum(len(batch.srclen) for batch in self._batches())

    def _batches(self) -> list[Batch]:
        if not self._made:
            self._made = [batch for source in self.sources.values() for batch in source.batches(Position(), epochs=1)]
        return self._made
