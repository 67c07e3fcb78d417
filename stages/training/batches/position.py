"""Where a training stands in the rows of one stream, so that it goes on there and reads nothing of what it skips."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa


class Counts(NamedTuple):
    """Rows that were used, and rows that were skipped; of an epoch, as far as it was read."""

    rows: int = 0
    skipped: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sum of both."""
        return Counts(self.rows + other.rows, self.skipped + other.skipped)


def fuller(one: Counts, other: Counts) -> Counts:
    """The one of which more was read."""
    return one if sum(one) >= sum(other) else other


@dataclass(frozen=True)
class Position:
    """The batch to be read next: its epoch, the first row of its pool, and its number in the pool.

    `shard` is a place in the epoch's order of shards, `row` one of this shard's rows as the epoch has them.
    """

    epoch: int = 0
    shard: int = 0
    row: int = 0
    batch: int = 0
    # Rows that earlier pools left for this one.
    waiting: pa.Table | None = field(default=None, compare=False, repr=False)
    # Whether a batch of this epoch came before this pool.
    begun: bool = field(default=False, compare=False)
    # Of this epoch before this pool, and with it.
    before: Counts = field(default=Counts(), compare=False)
    counts: Counts = field(default=Counts(), compare=False)
    # Of that earlier epoch of which the most was read.
    earlier: Counts = field(default=Counts(), compare=False)

    def fullest(self) -> Counts:
        """Rows of the epoch of which the most was read."""
        return fuller(self.earlier, self.counts)

    def next_epoch(self) -> "Position":
        """Where the epoch after this one begins, once all of this one is read."""
        return Position(self.epoch + 1, waiting=self.waiting, earlier=fuller(self.earlier, self.before))

    def state(self) -> dict[str, Any]:
        """As it is kept in a checkpoint."""
        import torch

        place = [self.epoch, self.shard, self.row, self.batch]
        counts = [list(each) for each in (self.before, self.counts, self.earlier)]
        return {
            "place": place,
            "begun": self.begun,
            "counts": counts,
            "waiting": None if self.waiting is None else torch.from_numpy(_bytes(self.waiting)),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Position":
        """What `state` gave."""
        waiting = state["waiting"]
        before, counts, earlier = (Counts(*each) for each in state["counts"])
        epoch, shard, row, batch = state["place"]
        return cls(
            epoch,
            shard,
            row,
            batch,
            waiting=None if waiting is None else _table(waiting.numpy().tobytes()),
            begun=state["begun"],
            before=before,
            counts=counts,
            earlier=earlier,
        )


def _table(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()


def _bytes(table: pa.Table) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8).copy()
