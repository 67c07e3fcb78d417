"""What the hypotheses of a source are worth: by their likeness to its reference, or to one another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from stages.text.chrf import chrf_matrices

if TYPE_CHECKING:
    from sacrebleu import BLEU

Measure = Literal["chrf", "bleu", "mbr-chrf"]
Array = npt.NDArray[np.float64]


def utilities(
    measure: Measure, rows: Sequence[Sequence[str]], references: Sequence[str], bleu: "Sequence[BLEU]" = ()
) -> list[Array]:
    """Of each row's hypotheses what they are worth, 0..100, [H] a row.

    chrf, bleu: sentence score against the row's reference; `bleu` is what the latter is measured with, row by row.
    mbr-chrf: see `mbr_utilities`, which looks at no reference.
    """
    if measure == "mbr-chrf":
        return mbr_utilities(rows)
    if measure == "bleu":
        found = zip(rows, references, bleu, strict=True)
        return [np.array([own.sentence_score(text, [one]).score for text in texts]) for texts, one, own in found]
    matrices = chrf_matrices([(texts, [reference]) for texts, reference in zip(rows, references, strict=True)])
    return [matrix[:, 0] for matrix in matrices]


def mbr_utilities(rows: Sequence[Sequence[str]]) -> list[Array]:
    """Mean chrF of each hypothesis to the others of its row, which stand in for references, 0..100; 0 for the only
    one. [H] a row. Minimum Bayes risk, https://aclanthology.org/N04-1022
    """
    found = []
    for scores in chrf_matrices([(texts, texts) for texts in rows]):
        np.fill_diagonal(scores, 0.0)
        found.append(np.asarray(scores.sum(axis=1) / max(len(scores) - 1, 1)))
    return found


def sentence_bleu(tokenizer: str) -> "BLEU":
    """sacrebleu's BLEU of single sentences, which have few long n-grams: only orders that occur count."""
    from sacrebleu import BLEU

    return BLEU(tokenize=tokenizer, effective_order=True)
