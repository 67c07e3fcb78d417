"""Rows of an epoch gathered into pools, from any place of it on; each shard is read once, whatever is in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.training.batches.copies import copies
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
        # By place, tables of which more copies are to come, and how many.
        self._held: dict[int, tuple[pa.Table, npt.NDArray[np.float64], npt.NDArray[np.int64]]] = {}

    def table(self, place: int) -> pa.Table:
        """The rows of a place, each with its turn."""
        worth = self._stream.worth
        if worth is None:
            table = self._stream.shards[self._order[place]]()
            return self._drawn(table, np.full(table.num_rows, self._epoch, dtype=np.int64))
        parts = [self._copy((place - copy) % len(self._order), copy) for copy in range(worth.most)]
        again = {(place + 1 - copy) % len(self._order) for copy in range(1, worth.most)}
        self._held = {each: held for each, held in self._held.items() if each in again}
        return pa.concat_tables(part for part in parts if part.num_rows or part is parts[0])

    def _copy(self, place: int, copy: int) -> pa.Table:
        """Rows of a shard that come more than `copy` times, with their turns."""
        if place not in self._held:
            table = self._stream.shards[self._order[place]]()
            worth = self._stream.worth.of(table) if self._stream.worth else np.ones(table.num_rows)
            self._held[place] = table, worth, copies(table, worth, self._epoch)
        table, worth, count = self._held[place]
        rows = np.flatnonzero(count > copy)
        turns = self._epoch * np.maximum(np.ceil(worth[rows]), 1).astype(np.int64) + copy
        return self._drawn(table if len(rows) == table.num_rows else table.take(pa.array(rows)), turns)

    def _drawn(self, table: pa.Table, turns: npt.NDArray[np.int64]) -> pa.Table:
        draw = self._stream.draw
        return (draw(table, turns) if draw else table).append_column(TURN, pa.array(turns))


def _tokens(table: pa.Table) -> int:
    """About as many as the sources have."""
    return int(pc.sum(pc.binary_length(table["source"])).as_py() or 0) // _BYTES_A_TOKEN
