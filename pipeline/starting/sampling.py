"""Rows from all over a source, its end among them, in one pass and bounded memory."""

from collections import deque
from typing import NamedTuple

from stages.corpus.readers.rows import RawRow

# Rows that stand one after the other: enough to tell whether sides are shifted, wherever that begins.
BLOCK_ROWS = 500
MOST_BLOCKS = 24


class Block(NamedTuple):
    """Rows in a row; `first` is the number of the first, from 1."""

    first: int
    rows: list[RawRow]


class Sampler:
    """Keeps blocks evenly spread over what passes; `count` rows have passed."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[Block] = []
        self._every = 1
        self._open: list[RawRow] = []
        self._last: deque[RawRow] = deque(maxlen=BLOCK_ROWS)

    def add(self, row: RawRow) -> None:
        """Takes the next row."""
        self.count += 1
        self._open.append(row)
        self._last.append(row)
        if len(self._open) < BLOCK_ROWS:
            return
        number = self.count // BLOCK_ROWS - 1
        if number % self._every == 0:
            self._kept.append(Block(self.count - BLOCK_ROWS + 1, self._open))
        self._open = []
        if len(self._kept) > MOST_BLOCKS:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def blocks(self) -> list[Block]:
        """What was kept, in order; the last one ends where the source does and may overlap the one before."""
        last = Block(self.count - len(self._last) + 1, list(self._last))
        return [*(block for block in self._kept if block.first < last.first), *([last] if last.rows else [])]
