"""Batches from several streams: by whose turn it is, not by chance, so that a resumed training goes on exactly."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data.errors import DataError
from stages.training.batches.batches import Batch, BatchSource, Position

Shares = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Place:
    """Where a training stands in its data: how many batches it has had, and the next one of every stream."""

    batch: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)

    def after(self, batch: Batch) -> "Place":
        """The place once `batch` has been used."""
        return Place(self.batch + 1, {**self.positions, batch.stream: batch.following})

    def state(self) -> dict[str, Any]:
        """As it is kept in a checkpoint."""
        positions = {name: [at.epoch, at.pool, at.batch] for name, at in self.positions.items()}
        return {"batch": self.batch, "positions": positions}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Place":
        """What `state` gave."""
        return cls(state["batch"], {name: Position(*at) for name, at in state["positions"].items()})


@dataclass(frozen=True)
class Mixture:
    """Streams and their shares. Batch n comes from a stream that is drawn from (seed, n) alone.

    `shares(step)` weighs the streams by name, in any unit; `accumulate` batches make a step.
    """

    sources: Mapping[str, BatchSource]
    shares: Shares
    seed: int
    accumulate: int = 1

    def batches(self, place: Place) -> Iterator[tuple[Batch, Place]]:
        """Batches from `place` on, each with the place after it; endless.

        Raises DataError when a stream whose turn it is holds no usable row.
        """
        running: dict[str, Iterator[Batch]] = {}
        while True:
            name = self._turn(place.batch)
            if name not in running:
                running[name] = self.sources[name].batches(place.positions.get(name, Position()))
            batch = next(running[name], None)
            if batch is None:
                raise DataError(_nothing_usable(self.sources[name]))
            place = place.after(batch)
            yield batch, place

    def _turn(self, number: int) -> str:
        shares = {name: share for name, share in self.shares(number // self.accumulate + 1).items() if share > 0}
        if len(shares) == 1:
            return next(iter(shares))
        ends = np.cumsum(list(shares.values()))
        drawn = np.random.default_rng([self.seed, number]).random() * ends[-1]
        return list(shares)[int(np.searchsorted(ends, drawn, side="right"))]


def validation(sources: Mapping[str, BatchSource]) -> dict[str, BatchSource]:
    """The same in their own order, without soft targets and counts: to be read from beginning to end."""
    return {
        name: replace(source, shuffled=False, stream=replace(source.stream, soft_targets=None), counts={})
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
