"""Token F1: how many words of the reference a translation has, whatever their order.

Words are those of BLEU's tokenisation. A word counts as often as both texts have it; precision is the share of the
translations' words that are so matched, recall that of the references' words, each over the whole test set, and F1
their harmonic mean: the general text matcher without its reward for runs (Melamed, Green and Turian 2003,
https://aclanthology.org/N03-2021).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluate.quality import Scoring, build_metrics
from stages.evaluate.resampling import ratio_interval


def score_f1(
    hypotheses: Mapping[str, Sequence[str]], references: Sequence[str], scoring: Scoring
) -> dict[str, dict[str, Any]]:
    """{system: {"f1", "f1_interval", "precision", "recall", "matched", "words", "reference_words", "signature"}}.

    Scores are 0..100, with a 95% interval by bootstrap over sentences; the last three are counts of words.
    """
    expected = _words(references, scoring)
    return {name: _score(_words(lines, scoring), expected, scoring) for name, lines in hypotheses.items()}


def _score(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]], scoring: Scoring) -> dict[str, Any]:
    pairs = list(zip(found, expected, strict=True))
    matched = [(Counter(words) & Counter(others)).total() for words, others in pairs]
    # The harmonic mean of m / h and m / r is 2 m / (h + r).
    doubled, sizes = [200.0 * number for number in matched], [len(words) + len(others) for words, others in pairs]
    words, others = sum(map(len, found)), sum(map(len, expected))
    return {
        "f1": sum(doubled) / sum(sizes) if sum(sizes) else 0.0,
        "f1_interval": ratio_interval(doubled, sizes, scoring.samples, scoring.seed),
        "precision": 100 * sum(matched) / words if words else 0.0,
        "recall": 100 * sum(matched) / others if others else 0.0,
        "matched": sum(matched),
        "words": words,
        "reference_words": others,
        "signature": f"words|bs:{scoring.samples}|seed:{scoring.seed}|case:mixed|tok:{scoring.tokenizer}|pooled",
    }


def _words(lines: Sequence[str], scoring: Scoring) -> list[list[str]]:
    tokenizer = build_metrics(scoring.tokenizer)["bleu"].tokenizer
    return [tokenizer(line.rstrip()).split() for line in lines]
