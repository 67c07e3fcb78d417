"""Rows of Parquet shards as padded batches: streamed, shuffled, sorted by length, the same for the same seed.

An epoch reads the shards in an order of its own. Rows are gathered into pools of bounded size; a pool is
shuffled, sorted by length, cut into batches, and its batches are shuffled. Which rows make a pool depends on
row counts alone, so a resumed training skips the pools it has seen without tokenising them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.training.batches.ragged import Ragged
from stages.training.vocabulary import BEGIN_ID, END_ID, PADDING_ID, Vocabulary

Shard = Callable[[], pa.Table]  # reads one shard; called once an epoch
Array = npt.NDArray[np.generic]
# One value, one row of values, or any number of values a target position.
Soft = Array | Ragged


class Encoder(Protocol):
    """What is needed of `stages.tokenizer.stage.Tokenizer`."""

    def encode_source(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each source."""

    def encode_target(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each target."""


class SoftTargetReader(Protocol):
    """Reads what a batch carries beside its tokens."""

    def read(self, table: pa.Table) -> dict[str, Soft]:
        """Arrays [sum of T, ...]: one entry a target position, </s> included, row after row; ragged where they differ.

        In a batch what is ragged is an array that is filled up with 0.
        """

    def is_for(self, schema: pa.Schema, pair: str) -> bool:
        """Whether rows of a language pair have any, in tables of this schema."""


@dataclass(frozen=True, order=True)
class Position:
    """Where a training stands in its data: the batch to be read next."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Stream:
    """Rows to train on. A shard is a function that reads a table with `source` and the target column.

    The target column holds text, which is tokenised here, or lists of tokens; rows where it is null are passed over.
    """

    name: str
    shards: Sequence[Shard]
    target_column: str
    soft_targets: SoftTargetReader | None = None
    # Tokens before every source, such as a language tag.
    source_prefix: tuple[str, ...] = ()
    # What an epoch makes of a shard, where it is not the table itself: as many rows, such as with another target.
    draw: Callable[[pa.Table, int], pa.Table] | None = None

    def read(self, shard: int, epoch: int) -> pa.Table:
        """A shard as an epoch has it."""
        table = self.shards[shard]()
        return self.draw(table, epoch) if self.draw else table


@dataclass(frozen=True)
class Batch:
    """Padded rows: src [B, S], tgt [B, 1 + T] (<s> first), and how long they are, srclen and tgtlen [B].

    `soft` holds soft targets [n, ...] of the n target positions that are not padding, in the order of the rows.
    """

    stream: str
    src: npt.NDArray[np.int32]
    tgt: npt.NDArray[np.int32]
    srclen: npt.NDArray[np.int64]
    tgtlen: npt.NDArray[np.int64]  # <s> not counted, </s> counted
    soft: dict[str, Array]
    following: Position  # of the batch after this one
    # Rows of its epoch that were skipped since the batch before it: all of a pool with the pool's first batch.
    skipped: int = 0

    @property
    def target_tokens(self) -> int:
        """n, that of the soft targets."""
        return int(self.tgtlen.sum())


@dataclass
class Counts:
    """Rows that were used, and rows that were skipped."""

    rows: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class BatchSource:
    """All that decides the batches of one stream; see `batches`.

    Rows with more than `max_tokens` tokens on a side, tags included, or with an empty side, are counted as skipped.
    """

    stream: Stream
    encoder: Encoder
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    batch_tokens: int
    max_tokens: int
    shuffle_rows: int
    seed: int
    shuffled: bool = True
    counts: dict[int, Counts] = field(default_factory=dict)  # by epoch, as far as it was read

    def batches(self, position: Position, epochs: int | None = None) -> Iterator[Batch]:
        """Batches from `position` on; endless, or until epoch `epochs` begins. Ends when no row is usable."""
        epoch = position.epoch
        while epochs is None or epoch < epochs:
            first = position if epoch == position.epoch else Position(epoch)
            some = False
            for batch in self._epoch(first):
                some = True
                yield batch
            if not some and first == Position(epoch):
                return
            epoch += 1

    def fullest_epoch(self) -> Counts:
        """Rows of the epoch of which the most was read."""
        # A list, made at once: another thread may be reading ahead into the next epoch.
        return max(list(self.counts.values()), key=lambda counts: counts.rows + counts.skipped, default=Counts())

    def _epoch(self, first: Position) -> Iterator[Batch]:
        self.counts.setdefault(first.epoch, Counts())
        skipped = 0
        for index, tables in enumerate(self._pools(first.epoch)):
            if index < first.pool:
                continue
            pool = self._encode(pa.concat_tables(tables), first.epoch)
            tables.clear()  # the pool holds all that is needed
            plan = self._plan(pool, np.random.default_rng([self.seed, first.epoch, index]))
            begin = first.batch if index == first.pool else 0
            skipped += 0 if begin else pool.skipped
            for number in range(begin, len(plan)):
                batch = self._batch(pool, plan[number], Position(first.epoch, index, number + 1))
                yield replace(batch, skipped=skipped)
                skipped = 0

    def _pools(self, epoch: int) -> Iterator[list[pa.Table]]:
        order = np.arange(len(self.stream.shards))
        if self.shuffled:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        held: list[pa.Table] = []
        rows = 0
        for shard in order.tolist():
            table = self.stream.read(shard, epoch)
            while table.num_rows:
                part = table.slice(0, self.shuffle_rows - rows)
                table = table.slice(part.num_rows)
                held.append(part)
                rows += part.num_rows
                if rows == self.shuffle_rows:
                    yield held
                    held, rows = [], 0
        if held:
            yield held

    def _encode(self, table: pa.Table, epoch: int) -> "_Pool":
        stream = self.stream
        table = table.filter(table[stream.target_column].is_valid())
        texts = self.encoder.encode_source(table["source"].to_pylist())
        prefix = self.source_vocabulary.meant(stream.source_prefix)
        source = Ragged.of(texts, self.source_vocabulary).within(before=prefix)
        column = table[stream.target_column]
        tokens = column if pa.types.is_list(column.type) else self.encoder.encode_target(column.to_pylist())
        target = Ragged.of(tokens, self.target_vocabulary).within(after=[END_ID])
        usable = (source.lengths > len(stream.source_prefix)) & (target.lengths > 1)
        usable &= (source.lengths < self.max_tokens) & (target.lengths <= self.max_tokens)
        self.counts[epoch].rows += int(usable.sum())
        self.counts[epoch].skipped += int((~usable).sum())
        soft = stream.soft_targets.read(table) if stream.soft_targets else {}
        return _Pool(source, target, soft, np.flatnonzero(usable), int((~usable).sum()))

    def _plan(self, pool: "_Pool", random: np.random.Generator) -> list[npt.NDArray[np.intp]]:
        rows = random.permutation(pool.usable) if self.shuffled else pool.usable
        source, target = pool.source.lengths[rows], pool.target.lengths[rows]
        order = np.lexsort((source, target))
        batches = _cut(rows[order], np.maximum(source, target)[order], self.batch_tokens)
        if self.shuffled:
            random.shuffle(batches)
        return batches

    def _batch(self, pool: "_Pool", rows: npt.NDArray[np.intp], following: Position) -> Batch:
        target = pool.target.padded(rows, PADDING_ID)
        begin = np.full((len(rows), 1), BEGIN_ID, dtype=target.dtype)
        return Batch(
            stream=self.stream.name,
            src=pool.source.padded(rows, PADDING_ID),
            tgt=np.concatenate([begin, target], axis=1),
            srclen=pool.source.lengths[rows],
            tgtlen=pool.target.lengths[rows],
            soft={name: pool.target.gathered(values, rows) for name, values in pool.soft.items()},
            following=following,
        )


@dataclass(frozen=True)
class _Pool:
    source: Ragged
    target: Ragged
    soft: dict[str, Soft]
    usable: npt.NDArray[np.intp]
    skipped: int


def _cut(rows: npt.NDArray[np.intp], longest: npt.NDArray[np.int64], batch_tokens: int) -> list[npt.NDArray[np.intp]]:
    """Consecutive rows as batches of at most `batch_tokens` = rows x longest side; never empty."""
    batches = []
    begin = widest = 0
    for end, length in enumerate(longest.tolist()):
        widest = max(widest, length)
        if end > begin and (end - begin + 1) * widest > batch_tokens:
            batches.append(rows[begin:end])
            begin, widest = end, length
    if len(rows) > begin:
        batches.append(rows[begin:])
    return batches


def joined(batch: Batch, separator: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Rows of source, `separator` and target without its end, [B, L], padded; and the places of what is learned, [n].

    A place is a row times L plus a column: where the model says the next token of the target, which is first at the
    separator and last at the last token, for the end. The batch's sources begin with all that goes before them.
    """
    before = batch.tgt[:, :-1].copy()
    before[:, 0] = separator
    lengths = batch.tgtlen
    steps = np.arange(before.shape[1])
    inside = steps < lengths[:, None]
    width = int((batch.srclen + lengths).max())
    columns = (batch.srclen[:, None] + steps)[inside]
    rows = np.repeat(np.arange(len(lengths)), lengths)
    sequence = np.full((len(lengths), width), PADDING_ID, dtype=batch.src.dtype)
    sequence[:, : batch.src.shape[1]] = batch.src
    sequence[rows, columns] = before[inside]
    return sequence, rows * width + columns
