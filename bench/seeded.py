"""How two ways of training differ that were each trained with several seeds."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.evaluate.quality import Scoring, build_metrics, resampled_scores, two_sided
from stages.evaluate.resampling import percentile_interval

Translations = Sequence[str]


def chrf_difference(
    trainings: Sequence[Translations], against: Sequence[Translations], references: Sequence[str], scoring: Scoring
) -> dict[str, Any]:
    """Mean chrF of `trainings` less that of `against`: {"difference", "interval": its 95% interval, "p_value"}.

    The bootstrap draws sentences, the same for all, and trainings of each side: the interval holds what a training owes
    to its seed as well as what it owes to the test set. Of one training a side it is the paired bootstrap.
    """
    # The seed alone would give the bits that the sentences are drawn by.
    random = np.random.default_rng([scoring.seed, 1])
    difference, resampled = 0.0, np.zeros(scoring.samples)
    for sign, side in ((1, trainings), (-1, against)):
        scored = [_chrf(tuple(lines), tuple(references), scoring) for lines in side]
        difference += sign * float(np.mean([score for score, _ in scored]))
        scores = np.stack([of_resamples for _, of_resamples in scored])
        taken = random.integers(len(side), size=scores.shape)
        resampled += sign * np.take_along_axis(scores, taken, axis=0).mean(0)
    return {
        "difference": difference,
        "interval": percentile_interval(resampled),
        "p_value": two_sided(resampled.tolist()),
    }


@cache
def _chrf(
    translations: tuple[str, ...], references: tuple[str, ...], scoring: Scoring
) -> tuple[float, npt.NDArray[np.float64]]:
    """chrF of a training, and of each resample; a training is held against several others."""
    return resampled_scores(build_metrics(scoring.tokenizer)["chrf"], translations, references, scoring)
