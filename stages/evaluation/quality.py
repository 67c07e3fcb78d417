"""Quality of several systems on one test set, by sacrebleu, with signatures and paired bootstrap."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import DataError

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

METRICS = ("bleu", "chrf", "ter")
# sacrebleu's own tokenisation splits on spaces and punctuation: wrong where words are not spaced.
_BLEU_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "km": "char", "lo": "char", "my": "char"}


@dataclass(frozen=True)
class Scoring:
    """BLEU's tokenisation by sacrebleu's name, and the bootstrap's resamples and seed."""

    tokenizer: str = "13a"
    samples: int = 1000
    seed: int = 12345


def bleu_tokenizer(target_language: str) -> str:
    """The BLEU tokenisation for a BCP-47 tag: `zh` for Chinese, characters where words are not spaced, else `13a`."""
    return _BLEU_TOKENIZERS.get(target_language.split("-")[0].lower(), "13a")


def build_metrics(tokenizer: str) -> dict[str, "Metric"]:
    """The metrics of the report by key, each fresh: sacrebleu's metrics cache their references."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    return {"bleu": BLEU(tokenize=tokenizer), "chrf": CHRF(), "ter": TER()}


def score_systems(
    hypotheses: Mapping[str, Sequence[str]],
    references: Sequence[str],
    scoring: Scoring,
    metrics: Sequence[str] = METRICS,
) -> dict[str, dict[str, Any]]:
    """Corpus scores, 0..100, with 95% intervals by bootstrap resampling.

    {system: {metric: score, "<metric>_interval": [low, high], "signatures": {metric: signature}}} for each metric.
    Raises DataError when a system has not one hypothesis for each reference: sacrebleu would score what is there.
    """
    _check_lengths(hypotheses, references)
    with _sacrebleu_seed(scoring.seed):
        return {name: _score(lines, references, scoring, metrics) for name, lines in hypotheses.items()}


def _score(
    hypotheses: Sequence[str], references: Sequence[str], scoring: Scoring, metrics: Sequence[str]
) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    signatures = {}
    built = build_metrics(scoring.tokenizer)
    for key in metrics:
        metric = built[key]
        score = _score_with_interval(metric, hypotheses, references, scoring.samples)
        signatures[key] = str(metric.get_signature())
        spoken = json.loads(score.format(width=6, signature=signatures[key], is_json=True))
        mean, half_width = spoken.get("confidence_mean", score.score), spoken.get("confidence_var", 0.0)
        scores |= {key: float(score.score), f"{key}_interval": [mean - half_width, mean + half_width]}
    return {**scores, "signatures": signatures}


def _score_with_interval(metric: "Metric", hypotheses: Sequence[str], references: Sequence[str], samples: int) -> Any:
    """sacrebleu's `corpus_score(..., n_bootstrap=samples)`, step by step.

    As a whole it fails on systems that match nothing in some resamples: their score is a Python float among numpy's,
    and `statistics.mean` takes no such mixture.
    """
    from sacrebleu.significance import _bootstrap_resample

    score = metric.corpus_score(hypotheses, [references])
    statistics = metric._extract_corpus_statistics(hypotheses, [references])
    metric.n_bootstrap = samples
    metric.seed, resampled = _bootstrap_resample(statistics, metric, samples)
    for one in resampled:
        one.score = float(one.score)
    score.estimate_ci(resampled)
    return score


def compare_systems(
    hypotheses: Mapping[str, Sequence[str]],
    references: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    scoring: Scoring,
) -> list[dict[str, Any]]:
    """Paired bootstrap resampling (Koehn 2004) of each (system, against) pair.

    One dictionary a pair: `system`, `against`, and for bleu and chrf {"difference": system - against, "interval": its
    95% interval, "p_value"}. Raises DataError when a system has not one hypothesis for each reference.
    """
    _check_lengths(hypotheses, references)
    return [
        {"system": system, "against": against} | _compare(hypotheses[system], hypotheses[against], references, scoring)
        for system, against in pairs
    ]


def _compare(
    system: Sequence[str], against: Sequence[str], references: Sequence[str], scoring: Scoring
) -> dict[str, Any]:
    import numpy as np

    compared = {}
    for key, metric in build_metrics(scoring.tokenizer).items():
        if key == "ter":
            continue
        score, base = (metric.corpus_score(lines, [references]).score for lines in (system, against))
        resampled = _differences(metric, system, against, references, scoring)
        compared[key] = {
            "difference": float(score - base),
            "interval": [float(bound) for bound in np.percentile(resampled, [2.5, 97.5])],
            "p_value": two_sided(resampled),
        }
    return compared


def two_sided(differences: Sequence[float]) -> float:
    """Twice the share of resamples in which the sign is the other one: about 0.05 where the 95% interval ends at 0.

    sacrebleu's own paired test gives about half of it where the difference is clear.
    """
    fewer = min(sum(each <= 0 for each in differences), sum(each >= 0 for each in differences))
    return min(2 * (fewer + 1) / (len(differences) + 1), 1.0)


def _differences(
    metric: "Metric", system: Sequence[str], against: Sequence[str], references: Sequence[str], scoring: Scoring
) -> list[float]:
    """Of both systems' scores in each resample: the same resamples as sacrebleu draws with the same seed."""
    import numpy as np

    stats = [np.array(metric._extract_corpus_statistics(lines, [references]), "float32") for lines in (system, against)]
    size = (scoring.samples, len(references))
    rows = np.random.default_rng(scoring.seed).choice(len(references), size=size, replace=True)
    differences = []
    for drawn in rows:
        scores = [metric._compute_score_from_stats(stat[drawn].sum(0)).score for stat in stats]
        differences.append(float(scores[0] - scores[1]))
    return differences


@contextmanager
def _sacrebleu_seed(seed: int) -> Iterator[None]:
    # sacrebleu takes its seed from the environment and nowhere else.
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = before


def _check_lengths(hypotheses: Mapping[str, Sequence[str]], references: Sequence[str]) -> None:
    for name, lines in hypotheses.items():
        if len(lines) != len(references):
            raise DataError(f"{name}: {len(lines)} hypotheses for {len(references)} references; one for each is needed")
    if not references:
        raise DataError("no references to score against: the test split is empty; hold out more of the corpus")
