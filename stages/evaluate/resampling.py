"""Bootstrap over the sentences of a test set: intervals of sums and of means over them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

_ENDS = (2.5, 97.5)
# Drawn numbers that are held at a time.
_AT_ONCE = 1 << 20


def ratio_interval(parts: Sequence[float], sizes: Sequence[float], samples: int, seed: int) -> list[float]:
    """95% percentile interval of sum(parts) / sum(sizes), [low, high], over sentences drawn with replacement.

    `parts` and `sizes` have one number a sentence, such as right tokens and all tokens. With a seed, all figures of
    one test set draw the same sentences. No sentence at all gives [0, 0], and so does a resample whose size is 0.
    """
    above, below = np.asarray(parts, np.float64), np.asarray(sizes, np.float64)
    if len(above) != len(below):
        raise ValueError(f"{len(above)} parts for {len(below)} sizes")
    if not len(above):
        return [0.0, 0.0]
    ratios = np.concatenate([_ratios(above, below, rows) for rows in _draws(len(above), samples, seed)])
    return percentile_interval(ratios)


def percentile_interval(resampled: npt.NDArray[np.float64]) -> list[float]:
    """95% of what resamples gave, [low, high]: never beyond what the figure can be."""
    return [float(bound) for bound in np.percentile(resampled, _ENDS)]


def resampled_sums(counts: npt.NDArray[np.float64], samples: int, seed: int) -> npt.NDArray[np.float64]:
    """Sums [samples, C] over sentences drawn with replacement, of counts [sentences, C].

    With a seed the same sentences as sacrebleu draws. What is held grows with the sentences, not with the samples.
    """
    number = len(counts)
    sums = []
    for rows in _draws(number, samples, seed):
        often = np.empty(rows.shape)
        for row, drawn in enumerate(rows):
            often[row] = np.bincount(drawn, minlength=number)
        sums.append(often @ counts)
    return np.concatenate(sums)


def mean_interval(values: Sequence[float], samples: int, seed: int) -> list[float]:
    """Likewise of the mean of one value a sentence."""
    return ratio_interval(values, [1.0] * len(values), samples, seed)


def _draws(number: int, samples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of all resamples, [samples, number], in parts."""
    random, step = np.random.default_rng(seed), max(_AT_ONCE // number, 1)
    for start in range(0, samples, step):
        yield random.integers(number, size=(min(step, samples - start), number))


def _ratios(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    sums, sizes = above[rows].sum(axis=1), below[rows].sum(axis=1)
    ratios: npt.NDArray[np.float64] = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
    return ratios
