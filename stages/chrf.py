"""Sentence chrF between all pairs of a few short texts, as minimum Bayes risk needs it.

The numbers are those of sacrebleu's CHRF().sentence_score (character n-grams to 6, no words, beta 2), which counts
a text's n-grams anew for every pair. Paper: https://aclanthology.org/W15-3049
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

LONGEST_NGRAM = 6
# Recall weighs beta squared times as much as precision; beta is 2.
_RECALL_WEIGHT = 4

Array = npt.NDArray[np.float64]


def chrf_matrix(hypotheses: Sequence[str], references: Sequence[str]) -> Array:
    """chrF of each hypothesis to each reference, 0..100, [H, R]."""
    texts = ["".join(text.split()) for text in (*hypotheses, *references)]
    split, size = len(hypotheses), (len(hypotheses), len(references), LONGEST_NGRAM)
    matches = np.zeros(size)
    for order, counts in enumerate(_ngram_counts(texts)):
        matches[:, :, order] = np.minimum(counts[:split, None], counts[None, split:]).sum(axis=2)
    totals = np.array([[max(len(text) - order, 0) for order in range(LONGEST_NGRAM)] for text in texts], np.float64)
    return _f_scores(matches, totals[:split], totals[split:])


def _ngram_counts(texts: Sequence[str]) -> Iterator[npt.NDArray[np.int64]]:
    """How often each n-gram of any text stands in each of them, [texts, n-grams], for n = 1 .. LONGEST_NGRAM."""
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    letters = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    # An n-gram's number is that of its first n - 1 letters and that of its last, counted anew: no two share one.
    letters, alphabet = _numbered(letters)
    grams = np.zeros_like(letters)
    for order in range(1, LONGEST_NGRAM + 1):
        last = letters[order - 1 :]
        grams = grams[: len(last)] * alphabet + last
        # Windows that reach from one text into the next are numbered too, for the longer ones' sake, but not counted.
        grams, known = _numbered(grams)
        inside = rows[: len(last)] == rows[order - 1 :]
        counted = np.bincount((rows[: len(last)] * known + grams)[inside], minlength=len(texts) * known)
        yield counted.reshape(len(texts), known)


def _numbered(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Values as numbers from 0 without gaps, and how many there are."""
    unique, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64), len(unique)


def _f_scores(matches: Array, hypotheses: Array, references: Array) -> Array:
    """From matches [H, R, N] and numbers of n-grams [H, N], [R, N] to scores [H, R].

    Precision and recall are averaged over those lengths of n-grams of which both texts have one.
    """
    precision = matches / np.maximum(hypotheses, 1)[:, None]
    recall = matches / np.maximum(references, 1)[None]
    both = (hypotheses[:, None] > 0) & (references[None] > 0)
    used = np.maximum(both.sum(axis=2), 1)
    mean_precision = (precision * both).sum(axis=2) / used
    mean_recall = (recall * both).sum(axis=2) / used
    denominator = _RECALL_WEIGHT * mean_precision + mean_recall
    product = (1 + _RECALL_WEIGHT) * mean_precision * mean_recall
    scores: Array = np.divide(100 * product, denominator, out=np.zeros_like(product), where=denominator > 0)
    return scores
