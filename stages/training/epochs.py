"""Passes over the data as steps, and the other way round."""

import math
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace

from stages.training.batches.batches import BatchSource, Position
from stages.training.batches.mixture import Place
from stages.training.config import OptimiserConfig


def batches_of_an_epoch(sources: Iterable[BatchSource], rows: Mapping[str, int]) -> float:
    """About how many batches all streams have: their first pools are cut, and taken to be like the rest.

    `rows` of each stream, as they lie in its shards.
    """
    return sum(_batches(source, rows[source.stream.name]) for source in sources)


def _batches(source: BatchSource, rows: int) -> float:
    batches = cut = 0
    at = Position()
    # With counts of its own: these rows are not trained on.
    with closing(replace(source, counts={}).batches(at, epochs=1)) as made:
        for batch in made:
            batches, cut, at = batches + 1, cut + len(batch.srclen), batch.following
            if not at.batch:
                break
    if at.epoch or not cut:
        return batches
    # Of a pool's rows some are cut into batches now, some wait, and some are too long.
    usable = rows * at.counts.rows / sum(at.counts)
    return batches * max(usable / cut, 1.0)


def epochs_had(trained: int, place: Place, rows: Mapping[str, int]) -> float | None:
    """Passes that a training has made that has `trained` so many rows; None where those of a stream are not known.

    Of a stream that it has been through once it is known how many are usable, of others it is taken from those read.
    """
    usable = 0.0
    for name, at in place.positions.items():
        counts = at.fullest()
        if at.epoch:
            usable += counts.rows
        elif name in rows:
            usable += rows[name] * counts.rows / max(sum(counts), 1)
        else:
            return None
    return trained / usable if usable else None


def in_steps(optimiser: OptimiserConfig, sources: Iterable[BatchSource], rows: Mapping[str, int]) -> OptimiserConfig:
    """The same with its steps, where they are told in epochs."""
    if optimiser.epochs is None:
        return optimiser
    steps = math.ceil(optimiser.epochs * batches_of_an_epoch(sources, rows) / optimiser.accumulate - 1e-9)
    return optimiser.model_copy(update={"steps": max(steps, 1)})
