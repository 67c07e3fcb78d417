"""From trial runs on samples to the whole corpus.

A shard stage: the time of its first model, and a rate a row, with a bootstrap over shards. A training: the time of
a step, with a bootstrap over blocks of steps. Any other stage: the line through two sizes of sample; what lies beyond
the larger one is taken to be wrong by a quarter either way. No interval is narrower than a twentieth: so much a
machine drifts while it is at work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.manifest import Manifest, split_of
from pipeline.estimating.record import Interval, tokens_of
from pipeline.estimating.schedule import Work
from pipeline.estimating.training import TrainingTimes, validations
from pipeline.estimating.trial import Trial

DRIFT = 0.05
BEYOND = 0.25
_RESAMPLES = 2000
_ENDS = (2.5, 97.5)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Whole:
    """The real corpus: rows of each shard of its train split, and rows of all splits."""

    shards: Sequence[int]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Trials:
    """The same stage three times: on the small sample in fresh processes, on it again, and on the large sample."""

    cold: Trial
    warm: Trial
    large: Trial
    # Rows on which its time hangs: of the small sample, the large one and the whole corpus.
    small_rows: int
    large_rows: int
    rows: int


@dataclass(frozen=True)
class Works:
    """A stage's work if all goes quickly, as expected, and if all goes slowly."""

    low: Work
    value: Work
    high: Work


def shard_work(trials: Trials, whole: Whole, most: int | None, seed: int) -> Works:
    """Of a shard stage."""
    shards = trials.large.shards
    rate = bootstrap([shard.seconds for shard in shards], [shard.record.rows for shard in shards], seed)
    load = at_least(Interval.exactly(trials.cold.seconds))

    def work(seconds: float, a_row: float) -> Work:
        return Work(seconds, tuple(a_row * rows for rows in whole.shards), most)

    return Works(work(load.low, rate.low), work(load.value, rate.value), work(load.high, rate.high))


def whole_work(trials: Trials) -> Works:
    """Of a stage that is one task."""
    a_row = slope(trials.small_rows, trials.warm.seconds, trials.large_rows, trials.large.seconds)
    value = max(trials.cold.seconds + a_row * (trials.rows - trials.small_rows), 0.0)
    wrong = BEYOND * a_row * (trials.rows - trials.large_rows)
    return works(at_least(Interval(low=value - wrong, value=value, high=value + wrong)))


def training_work(times: TrainingTimes, config: Any, sample_valid: int, valid: int, seed: int) -> Works:
    """Of a training: all its steps, its validations, and what is done once. `config` is that of the recipe."""
    step = bootstrap(times.steps, [1.0] * len(times.steps), seed)
    validation = getattr(config, "validation", None)
    most = validation.rows if validation is not None else max(valid, sample_valid)
    validating = times.validation * validations(config) * min(valid, most) / max(min(sample_valid, most), 1)
    seconds = step.times(config.optimiser.steps)
    others = validating + times.once
    return works(at_least(Interval(low=seconds.low + others, value=seconds.value + others, high=seconds.high + others)))


def works(seconds: Interval) -> Works:
    """Of a stage without shards."""
    return Works(Work(seconds.low), Work(seconds.value), Work(seconds.high))


def bootstrap(amounts: Sequence[float], sizes: Sequence[float], seed: int) -> Interval:
    """Sum of the amounts over the sum of the sizes, with its 95% interval over resampled pairs."""
    if not amounts or not sum(sizes):
        return Interval.exactly(0.0)
    parts, weights = np.asarray(amounts, float), np.asarray(sizes, float)
    picks = np.random.default_rng(seed).integers(len(parts), size=(_RESAMPLES, len(parts)))
    ratios: Array = parts[picks].sum(axis=1) / np.maximum(weights[picks].sum(axis=1), 1e-12)
    low, high = (float(end) for end in np.percentile(ratios, _ENDS))
    value = float(parts.sum() / weights.sum())
    return at_least(Interval(low=min(low, value), value=value, high=max(high, value)))


def at_least(interval: Interval, share: float = DRIFT) -> Interval:
    """The interval, at least so wide either way."""
    low = min(interval.low, interval.value * (1 - share))
    return Interval(low=max(low, 0.0), value=interval.value, high=max(interval.high, interval.value * (1 + share)))


def slope(small: float, small_amount: float, large: float, large_amount: float) -> float:
    """Amount a row between two sizes; none where they are equal, and never less than nothing."""
    return max(large_amount - small_amount, 0.0) / (large - small) if large > small else 0.0


@dataclass(frozen=True)
class Contents:
    """What a stage leaves."""

    rows: Interval
    tokens: Interval
    bytes: Interval


def contents(trials: Trials, base: Mapping[str, int], whole: Whole, seed: int) -> Contents:
    """Of a stage with shards: rates a row of the corpus, with a bootstrap over shards. Files are as large as they are.

    `base`: rows of each shard of the large sample's train split. Shards of other splits hang on the rows that the
    trials were counted in.
    """
    manifest = trials.large.manifest
    ends = _ends_of_files(trials)

    def per_row(amounts: Sequence[float]) -> Interval:
        return bootstrap(amounts, list(base.values()), seed).times(sum(whole.shards))

    made = {shard.name: shard for shard in manifest.shards}
    trained = [made.get(name) for name in base]
    rows = per_row([shard.rows if shard else 0 for shard in trained])
    size = per_row([max(shard.bytes - ends, 0.0) if shard else 0.0 for shard in trained])
    tokens = per_row([float(shard.counters.get("tokens", 0)) if shard else 0.0 for shard in trained])
    held = [shard for shard in manifest.shards if shard.name not in base]
    grown = trials.rows / max(trials.large_rows, 1)
    known = sum(file.bytes for file in manifest.files) + sum(shard.bytes for shard in held) * grown
    known += ends * len(whole.shards) * any(trained)
    return Contents(
        plus(exact_if_equal(rows, sum(whole.shards)), sum(shard.rows for shard in held) * grown),
        tokens,
        plus(size, known),
    )


def training_contents(manifest: Manifest, config: Any) -> Contents:
    """Of a training: the tokens of all its steps, and files as large as they are."""
    steps = manifest.metrics.get("steps", 0)
    tokens = tokens_of(manifest) * config.optimiser.steps / max(steps, 1)
    size = float(sum(file.bytes for file in manifest.files))
    return Contents(Interval.exactly(0), at_least(Interval.exactly(tokens)), at_least(Interval.exactly(size)))


def known_contents(manifest: Manifest) -> Contents:
    """Of a stage that is done."""
    size = sum(shard.bytes for shard in manifest.shards) + sum(file.bytes for file in manifest.files)
    rows = sum(shard.rows for shard in manifest.shards)
    return Contents(*(Interval.exactly(value) for value in (rows, tokens_of(manifest), size)))


def exact_if_equal(found: Interval, rows: int) -> Interval:
    """A row for each row of the corpus is no estimate."""
    return Interval.exactly(rows) if found.value == rows else found


def plus(interval: Interval, more: float) -> Interval:
    """The interval, moved."""
    return Interval(low=interval.low + more, value=interval.value + more, high=interval.high + more)


def _ends_of_files(trials: Trials) -> float:
    """Bytes that a shard has however few its rows: the line through the mean shards of both samples, at none."""
    (few, small), (many, large) = (_mean_shard(trial.manifest) for trial in (trials.warm, trials.large))
    if many <= few:
        return 0.0
    return min(max(small - few * slope(few, small, many, large), 0.0), small)


def _mean_shard(manifest: Manifest) -> tuple[float, float]:
    shards = [shard for shard in manifest.shards if split_of(shard.name) == "train"]
    count = max(len(shards), 1)
    return sum(shard.rows for shard in shards) / count, sum(shard.bytes for shard in shards) / count
