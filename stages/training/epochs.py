"""Passes over the data as steps, and the other way round."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from stages.training.batches.batches import BatchSource, Position
from stages.training.config import OptimiserConfig
from stages.training.used import UsedRows


def batches_of_an_epoch(sources: Iterable[BatchSource], rows: Mapping[str, int]) -> float:
    """About how many batches all streams have: their first pools are cut, and taken to be like the rest.

    `rows` of each stream, as they lie in its shards. Where they are in one pool it is exact.
    """
    return sum(_batches(source, rows[source.stream.name]) for source in sources)


def _batches(source: BatchSource, rows: int) -> float:
    batches = 0
    # With counts of its own: these rows are not trained on.
    for batch in replace(source, counts={}).batches(Position(), epochs=1):
        if batch.following.pool:
            break
        batches += 1
    return batches * max(rows / source.shuffle_rows, 1.0)


def epochs_had(used: UsedRows, rows: Mapping[str, int]) -> float | None:
    """Passes that a training has made; None where the rows of a stream are not known.

    Of a stream that it has been through once it is known how many are usable, of others it is taken from those read.
    """
    had, all_of_them = used.rows(), 0.0
    for name, (counts, whole) in used.epochs().items():
        if whole:
            all_of_them += counts.rows
        elif name in rows:
            all_of_them += rows[name] * counts.rows / max(counts.rows + counts.skipped, 1)
        else:
            return None
    return sum(had.values()) / all_of_them if all_of_them else None


def in_steps(optimiser: OptimiserConfig, sources: Iterable[BatchSource], rows: Mapping[str, int]) -> OptimiserConfig:
    """The same with its steps, where they are told in epochs."""
    if optimiser.epochs is None:
        return optimiser
    steps = math.ceil(optimiser.epochs * batches_of_an_epoch(sources, rows) / optimiser.accumulate - 1e-9)
    return optimiser.model_copy(update={"steps": max(steps, 1)})
