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
        return ((stream, stream.shards[0]()) for stream in self.streams)


def sampled(streams: Sequence[Stream], most: int) -> Sample:
    """At most `most` rows that have a target: of each language pair those of the smallest hash.

    Each stream, and each pair of it, has as many as any other, as far as it has so many. All shards are read once.
    """
    parts = [(stream, part) for stream in streams for part in _parts(stream, most)]
    counts = _shared([len(part.hashes) for _, part in parts], most)
    tables: dict[str, list[pa.Table]] = {stream.name: [] for stream in streams}
    for (stream, part), count in zip(parts, counts, strict=True):
        if count:
            tables[stream.name].append(part.first(count))
    held = [
        replace(stream, shards=[_Held(pa.concat_tables(tables[stream.name]))], draw=None)
        for stream in streams
        if tables[stream.name]
    ]
    return Sample(held, sum(part.of for _, part in parts))


def _parts(stream: Stream, most: int) -> "list[_Smallest]":
    """Of a stream's language pairs, or of the stream, where it does not know of any."""
    found = [_Smallest() for _ in range(len(stream.pairs.directions) if stream.pairs else 1)]
    for shard in stream.shards:
        table = shard()
        table = table.filter(table[stream.target_column].is_valid())
        places = stream.pairs.places(table) if stream.pairs else np.zeros(table.num_rows, np.int64)
        for place in np.unique(places).tolist():
            part = table.take(np.flatnonzero(places == place))
            found[place].add(part, _hashes(part, stream.target_column), most)
    return found


class _Smallest:
    """Rows of the smallest hashes, and of how many they are."""

    def __init__(self) -> None:
        self.of = 0
        self.hashes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table, hashes: npt.NDArray[np.uint64], most: int) -> None:
        """Takes rows with their hashes; `most` stay."""
        self.of += table.num_rows
        self._tables.append(table)
        self.hashes = np.concatenate([self.hashes, hashes])
        self.first(most)

    def first(self, count: int) -> pa.Table:
        """Leaves so many, in the order they came in, and gives them."""
        table = pa.concat_tables(self._tables)
        if len(self.hashes) > count:
            # A stable order: of equal hashes the earlier row stays.
            rows = np.sort(np.argsort(self.hashes, kind="stable")[:count])
            table, self.hashes = table.take(rows), self.hashes[rows]
        self._tables = [table]
        return table


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
