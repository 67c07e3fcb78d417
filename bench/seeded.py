"""How two ways of training differ that were each trained with several seeds."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.evaluation.quality import Scoring, two_sided
from stages.evaluation.resampling import percentile_interval

Translations = Sequence[str]


def chrf_difference(
    trainings: Sequence[Translations], against: Sequence[Translations], references: Sequence[str], scoring: Scoring
) -> dict[str, Any]:
    """Mean chrF of `trainings` less that of `against`: {"difference", "interval": its 95% interval, "p_value"}.

    The bootstrap draws sentences, the same for all, and trainings of each side: the interval holds what a training owes
    to its seed as well as what it owes to the test set. Of one training a side it is the paired bootstrap.
    """
    whole = np.ones((1, len(references)))
    random = np.random.default_rng(scoring.seed)
    size = (scoring.samples, len(references))
    drawn = random.choice(len(references), size=size, replace=True)
    often = np.stack([np.bincount(rows, minlength=len(references)) for rows in drawn])
    differences, resampled = 0.0, np.zeros(scoring.samples)
    for sign, side in ((1, trainings), (-1, against)):
        differences += sign * float(_chrf(side, references, whole).mean())
        scores = _chrf(side, references, often)
        taken = random.integers(len(side), size=scores.shape)
        resampled += sign * np.take_along_axis(scores, taken, axis=0).mean(0)
    return {
        "difference": differences,
        "interval": percentile_interval(resampled),
        "p_value": two_sided(resampled.tolist()),
    }


def _chrf(side: Sequence[Translations], references: Sequence[str], often: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """chrF [trainings, samples] of test sets that hold each sentence as `often` [samples, sentences]."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    counts = [_counts(tuple(lines), tuple(references)) for lines in side]
    return np.array([[metric._compute_score_from_stats(row).score for row in often @ each] for each in counts])


@cache
def _counts(translations: tuple[str, ...], references: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """What chrF counts in each sentence; a training is held against several others."""
    from sacrebleu.metrics import CHRF

    return np.array(CHRF()._extract_corpus_statistics(list(translations), [list(references)]), float)
