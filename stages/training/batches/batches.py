"""Rows of Parquet shards as padded batches: streamed, shuffled, sorted by length, the same for the same seed.

An epoch reads the shards in an order of its own, each once. Rows are gathered into pools of bounded size; a pool is
shuffled, sorted by length and cut into batches, which are shuffled. What fills no batch waits for the next pool, of
this epoch or of the next one, so that all batches are full; rows of a stream that is smaller than a batch are one.

While a pool is trained on, the next one is read and encoded. A position says where its pool begins, with what waited
for it: a resumed training reads nothing that came before.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Event

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.training.batches.encoding import Encoder
from stages.training.batches.gathering import gathered
from stages.training.batches.pool import Pool, PoolEncoder, group_names, padded, planned, soft_of
from stages.training.batches.position import Counts, Position, fuller
from stages.training.batches.prefetch import one_ahead
from stages.training.batches.stream import Array, Shard, Stream
from stages.training.vocabulary import PADDING_ID, Vocabulary

__all__ = ["Batch", "BatchSource", "Counts", "Encoder", "Position", "Shard", "Stream", "joined"]

# So many batches a pool has at least, where it may be large enough: of fewer, neighbours differ in length.
_LEAST_BATCHES = 8


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
    fill: float = 1.0  # rows times the longest side, of what a batch may hold

    @property
    def target_tokens(self) -> int:
        """n, that of the soft targets."""
        return int(self.tgtlen.sum())


@dataclass(frozen=True)
class BatchSource:
    """All that decides the batches of one stream; see `batches`.

    Rows with more than `max_tokens` tokens on a side, tags included, or with an empty side, are counted as skipped.
    A pool has `shuffle_rows`, and as many more as some batches need, up to `most_rows`.
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
    most_rows: int = 0
    counts: dict[int, Counts] = field(default_factory=dict)  # by epoch, as far as it was read

    def batches(self, position: Position, epochs: int | None = None) -> Generator[Batch, None, None]:
        """Batches from `position` on; endless, or all rows until epoch `epochs` begins. Ends when no row is usable."""
        stopped = Event()
        pools = self._pools(position, epochs, stopped)
        first = position.batch
        with closing(pools if epochs is not None else one_ahead(pools, stopped)) as made:
            for pool in made:
                yield from self._of_pool(pool, first)
                first = 0

    def fullest_epoch(self) -> Counts:
        """Rows of the epoch of which the most was read."""
        # A list, made at once: another thread may be reading ahead into the next epoch.
        return max(list(self.counts.values()), key=sum, default=Counts())

    def _of_pool(self, pool: Pool, first: int) -> Iterator[Batch]:
        for number in range(first, len(pool.plan)):
            one, last = pool.plan[number], number + 1 == len(pool.plan)
            within = replace(pool.begin, batch=number + 1, counts=pool.counts)
            sides = padded(one)
            longest = int(max(sides.srclen.max(), sides.tgtlen.max()))
            fill = len(one.rows) * longest / self.batch_tokens
            following = pool.after if last else within
            yield Batch(one.group, *sides, soft=soft_of(one), following=following, fill=fill)

    def _pools(self, at: Position, epochs: int | None, stopped: Event) -> Generator[Pool, None, None]:
        while epochs is None or at.epoch < epochs:
            order = self._order(at.epoch)
            for held in gathered(self.stream, order, at, self.shuffle_rows, self.most_rows, self._least_tokens()):
                pool = self._pool(held.begin_of(at), held.tables, (held.next_shard, held.next_row))
                yield pool
                at = pool.after
                if stopped.is_set():
                    return
            at = replace(at, shard=len(order), row=0, batch=at.batch if at.shard == len(order) else 0)
            if at.waiting is not None and (not at.begun or at.epoch + 1 == epochs):
                pool = self._pool(at, [], None)
                yield pool
                at = pool.after
            elif not at.begun:
                return
            else:
                at = at.next_epoch()

    def _pool(self, begin: Position, tables: Sequence[pa.Table], following: tuple[int, int] | None) -> Pool:
        """Of these tables and what waits; without a place that follows it ends the epoch, and nothing is left."""
        waits = 0 if begin.waiting is None else begin.waiting.num_rows
        held = [] if begin.waiting is None else [begin.waiting]
        column = self.stream.target_column
        table = pa.concat_tables([*held, *(each.filter(each[column].is_valid()) for each in tables)])
        lanes = self._pool_encoder.lanes(table)
        random = np.random.default_rng([self.seed, begin.epoch, begin.shard, begin.row]) if self.shuffled else None
        plan, left = planned(self.stream, lanes, self.batch_tokens, random, flush=following is None)
        used = sum(int((lane.rows[lane.usable] >= waits).sum()) for lane in lanes)
        counts = begin.before.plus(Counts(used, table.num_rows - waits - used))
        self.counts[begin.epoch] = fuller(counts, self.counts.get(begin.epoch, Counts()))
        waiting = table.take(pa.array(left)) if len(left) else None
        begun = begin.begun or bool(plan)
        ended = replace(begin, batch=0, waiting=waiting, before=counts, counts=counts, begun=begun)
        if following is None:
            return Pool(begin, plan, ended.next_epoch(), counts)
        shard, row = following
        return Pool(begin, plan, replace(ended, shard=shard, row=row), counts)

    def _order(self, epoch: int) -> list[int]:
        """The shards in the order in which an epoch reads them."""
        order = np.arange(len(self.stream.shards))
        return (np.random.default_rng([self.seed, epoch]).permutation(order) if self.shuffled else order).tolist()

    def _least_tokens(self) -> int:
        return _LEAST_BATCHES * self.batch_tokens * len(group_names(self.stream))

    @cached_property
    def _pool_encoder(self) -> PoolEncoder:
        return PoolEncoder.of(
            self.stream, self.encoder, self.source_vocabulary, self.target_vocabulary, self.max_tokens, self.seed
        )


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
