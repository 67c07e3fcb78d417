"""How two ways of training differ that were each trained with several seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.evaluation.quality import Scoring, two_sided

Translations = Sequence[str]


def chrf_difference(
    trainings: Sequence[Translations], against: Sequence[Translations], references: Sequence[str], scoring: Scoring
) -> dict[str, Any]:
    """Mean chrF of `trainings` less that of `against`: {"difference", "interval": its 95% interval, "p_value"}.

    The bootstrap draws sentences, the same for all, and trainings of each side: the interval holds what a training owes
    to its seed as well as what it owes to the test set. Of one training a side it is the paired bootstrap.
    """
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    sides = [
        np.array([metric._extract_corpus_statistics(list(lines), [list(references)]) for lines in side], "float64")
        for side in (trainings, against)
    ]
    random = np.random.default_rng(scoring.seed)
    rows = random.choice(len(references), size=(scoring.samples, len(references)), replace=True)
    resampled = []
    for drawn in rows:
        first, second = (_mean(metric, side[random.integers(len(side), size=len(side))][:, drawn]) for side in sides)
        resampled.append(first - second)
    first, second = (_mean(metric, side) for side in sides)
    return {
        "difference": first - second,
        "interval": [float(bound) for bound in np.percentile(resampled, [2.5, 97.5])],
        "p_value": two_sided(resampled),
    }


def _mean(metric: Any, statistics: npt.NDArray[np.float64]) -> float:
    """Of the scores of several trainings; statistics are [trainings, sentences, counts]."""
    return float(np.mean([metric._compute_score_from_stats(each.sum(0)).score for each in statistics]))
