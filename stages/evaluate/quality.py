"""Quality of several systems on one test set, by sacrebleu, with signatures and paired bootstrap."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from data.errors import DataError
from stages.evaluate.resampling import percentile_interval, resampled_sums
from stages.languages.writing import bleu_tokenizer, ter_tokenizer

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

METRICS = ("bleu", "chrf", "ter")
# Sentences.
_COUNTED_AT_ONCE = 1000


@dataclass(frozen=True)
class Scoring:
    """BLEU's tokenisation by sacrebleu's name, the bootstrap's resamples and seed, and TER's words.

    `ter`: tercom for words between spaces, asian where Han and kana stand among them, None where TER is left out, as
    its words would be whole sentences: sacrebleu knows no way to cut Thai, Lao, Khmer or Burmese.
    """

    tokenizer: str = "13a"
    samples: int = 1000
    seed: int = 12345
    ter: str | None = "tercom"

    def of_languages(self, tags: Iterable[str], *, tokenizer_by_language: bool) -> "Scoring":
        """The same for these target languages; BLEU's tokenisation is theirs where they agree on one and it is asked.

        Of languages that are tokenised in different ways no one way is right: it is then 13a.
        """
        wanted = set(tags)
        bleu = {bleu_tokenizer(tag) for tag in wanted}
        ter = {ter_tokenizer(tag) for tag in wanted}
        own = (bleu.pop() if len(bleu) == 1 else "13a") if tokenizer_by_language else self.tokenizer
        return replace(self, tokenizer=own, ter=None if None in ter else "asian" if "asian" in ter else "tercom")


def build_metrics(tokenizer: str, ter: str | None = "tercom") -> dict[str, "Metric"]:
    """The metrics of the report by key, each fresh: sacrebleu's metrics cache their references."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    asian = ter == "asian"
    last = {"ter": TER(normalized=asian, asian_support=asian)} if ter else {}
    return {"bleu": BLEU(tokenize=tokenizer), "chrf": CHRF(), **last}


def score_systems(
    hypotheses: Mapping[str, Sequence[str]],
    references: Sequence[str],
    scoring: Scoring,
    metrics: Sequence[str] = METRICS,
) -> dict[str, dict[str, Any]]:
    """Corpus scores, 0..100, with 95% intervals by bootstrap resampling.

    {system: {metric: score, "<metric>_interval": [low, high], "signatures": {metric: signature}}} for each metric; TER
    is left out where `scoring` has no words for it. Raises DataError when a system has not one hypothesis for each
    reference: sacrebleu would score what is there.
    """
    _check_lengths(hypotheses, references)
    return {name: _score(lines, references, scoring, metrics) for name, lines in hypotheses.items()}


def _score(
    hypotheses: Sequence[str], references: Sequence[str], scoring: Scoring, metrics: Sequence[str]
) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    signatures = {}
    built = build_metrics(scoring.tokenizer, scoring.ter)
    for key in (key for key in metrics if key in built):
        metric = built[key]
        score, resampled = resampled_scores(metric, hypotheses, references, scoring)
        # What sacrebleu's own bootstrap leaves in the metric: its signature tells of it.
        metric.n_bootstrap, metric.seed = scoring.samples, str(scoring.seed)
        signatures[key] = str(metric.get_signature())
        scores |= {key: score, f"{key}_interval": percentile_interval(resampled)}
    return {**scores, "signatures": signatures}


def resampled_scores(
    metric: "Metric", hypotheses: Sequence[str], references: Sequence[str], scoring: Scoring
) -> tuple[float, npt.NDArray[np.float64]]:
    """The corpus score, and that of each resample.

    The resamples are those of sacrebleu's `corpus_score(..., n_bootstrap)`, which holds all of them at once, and fails
    on systems that match nothing in some.
    """
    counts = _counts(metric, hypotheses, references)
    # sacrebleu's type, in which it computes the scores of resamples.
    sums = resampled_sums(counts, scoring.samples, scoring.seed).astype(np.float32)
    resampled = np.array([float(metric._compute_score_from_stats(row).score) for row in sums])
    return float(metric._compute_score_from_stats(counts.sum(0).tolist()).score), resampled


def _counts(metric: "Metric", hypotheses: Sequence[str], references: Sequence[str]) -> npt.NDArray[np.float64]:
    """What a metric counts, [sentences, C]; in parts, as it holds all n-grams of the references it is given."""
    parts = []
    for start in range(0, len(references), _COUNTED_AT_ONCE):
        part = slice(start, start + _COUNTED_AT_ONCE)
        parts.append(np.array(metric._extract_corpus_statistics(hypotheses[part], [references[part]]), np.float64))
    return np.concatenate(parts)


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
    compared = {}
    for key, metric in build_metrics(scoring.tokenizer, scoring.ter).items():
        if key == "ter":
            continue
        (score, resampled), (base, others) = (
            resampled_scores(metric, lines, references, scoring) for lines in (system, against)
        )
        compared[key] = {
            "difference": score - base,
            "interval": percentile_interval(resampled - others),
            "p_value": two_sided((resampled - others).tolist()),
        }
    return compared


def two_sided(differences: Sequence[float]) -> float:
    """Twice the share of resamples in which the sign is the other one: about 0.05 where the 95% interval ends at 0.

    sacrebleu's own paired test gives about half of it where the difference is clear.
    """
    fewer = min(sum(each <= 0 for each in differences), sum(each >= 0 for each in differences))
    return min(2 * (fewer + 1) / (len(differences) + 1), 1.0)


def _check_lengths(hypotheses: Mapping[str, Sequence[str]], references: Sequence[str]) -> None:
    for name, lines in hypotheses.items():
        if len(lines) != len(references):
            raise DataError(f"{name}: {len(lines)} hypotheses for {len(references)} references; one for each is needed")
    if not references:
        raise DataError("no references to score against: the test split is empty; hold out more of the corpus")
