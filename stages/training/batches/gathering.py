"""Rows of an epoch gathered into pools, from any place of it on; each shard is read once, whatever is in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.training.batches.copies import Worth, copies
from stages.training.batches.position import Position
from stages.training.batches.stream import TURN, Stream

# In the mean, and rather too many: how much text a pool needs is known before it is encoded.
_BYTES_A_TOKEN = 4


@dataclass(frozen=True)
class Gathered:
    """Parts of shards, where they begin and what comes next: a place in the order of the shards, and a row of it."""

    shard: int
    row: int
    tables: Sequence[pa.Table]
    next_shard: int
    next_row: int

    def begin_of(self, at: Position) -> Position:
        """Of `at` all but the place, which is where this begins."""
        same = (at.shard, at.row) == (self.shard, self.row)
        return replace(at, shard=self.shard, row=self.row, batch=at.batch if same else 0)


def gathered(
    stream: Stream, order: Sequence[int], at: Position, rows: int, most: int, least_tokens: int
) -> Iterator[Gathered]:
    """What is left of the epoch that `at` is in, in pools of `rows`.

    A pool of less text than `least_tokens` gets more rows, up to `most`.
    """
    visits = _Visits(stream, order, at.epoch)
    held, count, tokens, wanted = list[pa.Table](), 0, 0, rows
    shard, row = at.shard, at.row
    for place in range(at.shard, len(order)):
        table = visits.table(place)
        start = at.row if place == at.shard else 0
        while start < table.num_rows:
            part = table.slice(start, wanted - count)
            start, count = start + part.num_rows, count + part.num_rows
            held.append(part)
            tokens += _tokens(part)
            if count == wanted and tokens < least_tokens and wanted < most:
                wanted = min(2 * wanted, most)
            elif count == wanted:
                following = (place, start) if start < table.num_rows else (place + 1, 0)
                yield Gathered(shard, row, held, *following)
                held, count, tokens, wanted = [], 0, 0, rows
                shard, row = following
    if held:
        yield Gathered(shard, row, held, len(order), 0)


class _Visits:
    """What each place in an epoch's order of shards gives: its shard's rows, and further copies of earlier ones'.

    A row that comes c times comes at its shard's place and at the c - 1 after it, which begin anew at the end: so rows
    that come often come among ever others, and not all at once.
    """

    def __init__(self, stream: Stream, order: Sequence[int], epoch: int) -> None:
        self._stream, self._order, self._epoch = stream, order, epoch
        # By place, the rows of which more copies are to come.
        self._held: dict[int, _Rows] = {}

    def table(self, place: int) -> pa.Table:
        """The rows of a place, each with its turn."""
        worth = self._stream.worth
        if worth is None:
            table = self._stream.shards[self._order[place]]()
            return self._drawn(table, np.full(table.num_rows, self._epoch, dtype=np.int64))
        own = self._read(place, worth)
        self._held[place] = own.coming_after(0)
        parts = [self._turned(own, 0)]
        for copy in range(1, worth.most):
            before = (place - copy) % len(self._order)
            if before not in self._held:
                self._held[before] = self._read(before, worth).coming_after(0)
            parts.append(self._turned(self._held[before].coming_after(copy - 1), copy))
        again = {(place + 1 - copy) % len(self._order) for copy in range(1, worth.most)}
        self._held = {each: held for each, held in self._held.items() if each in again}
        return pa.concat_tables([parts[0], *(part for part in parts[1:] if part.num_rows)])

    def _read(self, place: int, worth: Worth) -> "_Rows":
        table = self._stream.shards[self._order[place]]()
        each = worth.of(table)
        found = _Rows(table, each, copies(table, each, self._epoch))
        return found.coming_after(-1)

    def _turned(self, rows: "_Rows", copy: int) -> pa.Table:
        """A copy of these rows with its turns."""
        turns = self._epoch * np.maximum(np.ceil(rows.worth), 1).astype(np.int64) + copy
        return self._drawn(rows.table, turns)

    def _drawn(self, table: pa.Table, turns: npt.NDArray[np.int64]) -> pa.Table:
        draw = self._stream.draw
        return (draw(table, turns) if draw else table).append_column(TURN, pa.array(turns))


class _Rows(NamedTuple):
    """Some rows of a shard, what each is worth and how often it comes in the epoch."""

    table: pa.Table
    worth: npt.NDArray[np.float64]
    comes: npt.NDArray[np.int64]

    def coming_after(self, copy: int) -> "_Rows":
        """Those of which a copy comes after this one, copies counted from 0."""
        rows = np.flatnonzero(self.comes > copy + 1)
        if len(rows) == len(self.comes):
            return self
        return _Rows(self.table.take(pa.array(rows)), self.worth[rows], self.comes[rows])


def _tokens(table: pa.Table) -> int:
    """About as many as the sources have."""
    return int(pc.sum(pc.binary_length(table["source"])).as_py() or 0) // _BYTES_A_TOKEN
