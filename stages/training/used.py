"""Which rows a training has had: counted where they were trained on, and not where they were read ahead."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from stages.training.batches.batches import Counts


@dataclass
class _Stream:
    """Of one stream: rows in all, and those of the epoch under way and of the fullest before it."""

    rows: int = 0
    epoch: int = 0
    now: int = 0
    skipped_now: int = 0
    fullest: int = 0
    skipped_fullest: int = 0


class UsedRows:
    """Told of every batch that became part of a step."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, stream: str, epoch: int, rows: int, skipped: int) -> None:
        """A batch of `rows`, in whose epoch `skipped` more were passed over since the batch before."""
        one = self._streams.setdefault(stream, _Stream())
        if epoch != one.epoch:
            one.epoch, one.now, one.skipped_now = epoch, 0, 0
        one.rows += rows
        one.now += rows
        one.skipped_now += skipped
        if one.now + one.skipped_now >= one.fullest + one.skipped_fullest:
            one.fullest, one.skipped_fullest = one.now, one.skipped_now

    def counts(self) -> dict[str, Counts]:
        """Of each stream, the rows of the epoch of which the most was trained on."""
        return {name: Counts(one.fullest, one.skipped_fullest) for name, one in self._streams.items()}

    def epochs(self) -> dict[str, tuple[Counts, bool]]:
        """The same, and whether it is a whole epoch."""
        return {name: (counts, self._streams[name].epoch > 0) for name, counts in self.counts().items()}

    def rows(self) -> dict[str, int]:
        """Of each stream, all rows, those of later epochs again."""
        return {name: one.rows for name, one in self._streams.items()}

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {name: list(astuple(one)) for name, one in self._streams.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self._streams = {name: _Stream(*values) for name, values in state.items()}
