"""Batches from several streams: by whose turn it is, not by chance, so that a resumed training goes on exactly."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data.errors import DataError
from stages.training.batches.batches import Batch, BatchSource
from stages.training.batches.position import Counts, Position

Shares = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Place:
    """Where a training stands in its data: how many batches it has had, and the next one of every stream."""

    batch: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)
    # Sum over the batches of how full each was.
    filled: float = 0.0

    def after(self, batch: Batch, source: str) -> "Place":
        """The place once `batch` of this source has been used."""
        positions = {**self.positions, source: batch.following}
        return Place(self.batch + 1, positions, self.filled + batch.fill)

    def fill(self) -> float:
        """Mean share of its tokens that a batch had, padding included; 1 before the first."""
        return self.filled / self.batch if self.batch else 1.0

    def counts(self) -> dict[str, Counts]:
        """Of each stream that gave a batch, rows of the epoch of which the most was read.

        It hangs on the batches that were used alone, and not on how far ahead of them was read.
        """
        return {name: at.fullest() for name, at in self.positions.items()}

    def state(self) -> dict[str, Any]:
        """As it is kept in a checkpoint."""
        positions = {name: at.state() for name, at in self.positions.items()}
        return {"batch": self.batch, "positions": positions, "filled": self.filled}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Place":
        """What `state` gave."""
        positions = {name: Position.of_state(at) for name, at in state["positions"].items()}
        return cls(state["batch"], positions, state["filled"])


@dataclass(frozen=True)
class Mixture:
    """Streams and their shares. Batch n comes from a stream that is drawn from (seed, n) alone.

    `shares(step)` weighs the streams by name, in any unit; `accumulate` batches make a step.
    """

    sources: Mapping[str, BatchSource]
    shares: Shares
    seed: int
    accumulate: int = 1

    def batches(self, place: Place) -> Generator[tuple[Batch, Place], None, None]:
        """Batches from `place` on, each with the place after it; endless.

        Raises DataError when a stream whose turn it is holds no usable row.
        """
        running: dict[str, Iterator[Batch]] = {}
        with ExitStack() as opened:
            while True:
                name = self._turn(place.batch)
                if name not in running:
                    batches = self.sources[name].batches(place.positions.get(name, Position()))
                    running[name] = opened.enter_context(closing(batches))
                batch = next(running[name], None)
                if batch is None:
                    raise DataError(_nothing_usable(self.sources[name]))
                place = place.after(batch, name)
                yield batch, place

    def _turn(self, number: int) -> str:
        shares = {name: share for name, share in self.shares(number // self.accumulate + 1).items() if share > 0}
        if len(shares) == 1:
            return next(iter(shares))
        ends = np.cumsum(list(shares.values()))
        drawn = np.random.default_rng([self.seed, number]).random() * ends[-1]
        return list(shares)[int(np.searchsorted(ends, drawn, side="right"))]


def validation(sources: Mapping[str, BatchSource]) -> dict[str, BatchSource]:
    """The same in their own order, each row once, without soft targets and counts: to be read from beginning to end."""
    return {
        name: replace(
            source,
            shuffled=False,
            stream=replace(source.stream, soft_targets=None, worth=None, sampling=None),
            counts={},
        )
        for name, source in sources.items()
    }


def _nothing_usable(source: BatchSource) -> str:
    counts = source.fullest_epoch()
    shards, column = len(source.stream.shards), source.stream.target_column
    if not counts.skipped:
        return (
            f"nothing to train on: {shards} shards hold no row with a {column}; see what the stages before kept, and, "
            "of a teacher, which language pairs it is for"
        )
    return (
        f"nothing to train on: {shards} shards hold no row with a usable {column} ({counts.skipped} rows are empty or "
        f"longer than {source.max_tokens} tokens); see what the stages before kept, or raise max_tokens"
    )
