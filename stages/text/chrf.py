"""Sentence chrF between texts of many rows at once, as selection and minimum Bayes risk need it.

The numbers are those of sacrebleu's CHRF().sentence_score (character n-grams to 6, no words, beta 2), which counts
a text's n-grams anew for every pair and in Python. Paper: https://aclanthology.org/W15-3049

Here the n-grams of thousands of rows are sorted together: an n-gram is a number, and equal ones of one row's texts come
to stand side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LONGEST_NGRAM = 6
# Recall weighs beta squared times as much as precision; beta is 2.
_RECALL_WEIGHT = 4
# So many letters are sorted at a time: they stay in a processor's cache.
_LETTERS = 200_000
_KEY_BITS = 62

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Texts = Sequence[str]


def chrf_matrix(hypotheses: Texts, references: Texts) -> Array:
    """chrF of each hypothesis to each reference, 0..100, [H, R]."""
    return chrf_matrices([(hypotheses, references)])[0]


def chrf_matrices(rows: Sequence[tuple[Texts, Texts]]) -> list[Array]:
    """chrF of each hypothesis of a row to each reference of the same row, 0..100, [H, R] a row."""
    return [matrix for part in _parts(rows) for matrix in _scored(part)]


@dataclass(frozen=True)
class _Part:
    """Some rows' texts, one after the other, hypotheses before references. Arrays are [texts] where nothing is said.

    Pairs are numbered row by row, hypothesis by hypothesis, reference by reference.
    """

    shapes: list[tuple[int, int]]
    letters: Numbers  # of all texts, numbered from 0
    alphabet: int
    lengths: Numbers
    row: Numbers
    first: Numbers  # of a row, [rows]: its first text
    slot: Numbers  # place in its row
    pair: Numbers  # of a hypothesis: its first pair; else -1
    reference: Numbers  # of a reference: its place among those of its row; else -1

    def slot_bits(self) -> int:
        """Bits that a place in a row needs."""
        return int(self.slot.max(initial=0)).bit_length()


def _parts(rows: Sequence[tuple[Texts, Texts]]) -> Iterator[_Part]:
    texts: list[str] = []
    shapes: list[tuple[int, int]] = []
    letters = 0
    for hypotheses, references in rows:
        added = ["".join(text.split()) for text in (*hypotheses, *references)]
        texts += added
        shapes.append((len(hypotheses), len(references)))
        letters += sum(map(len, added))
        if letters >= _LETTERS:
            yield _part(texts, shapes)
            texts, shapes, letters = [], [], 0
    if shapes:
        yield _part(texts, shapes)


def _part(texts: list[str], shapes: list[tuple[int, int]]) -> _Part:
    hypotheses, references = np.array(shapes, dtype=np.int64).T
    sizes, pairs = hypotheses + references, hypotheses * references
    row, first = np.repeat(np.arange(len(shapes)), sizes), np.cumsum(sizes) - sizes
    slot = np.arange(len(texts)) - first[row]
    is_hypothesis = slot < hypotheses[row]
    points = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    used = np.zeros(int(points.max(initial=0)) + 1, dtype=np.int64)
    used[points] = 1
    letters, alphabet = (np.cumsum(used) - 1)[points], int(used.sum())
    return _Part(
        shapes=shapes,
        letters=letters,
        alphabet=alphabet,
        lengths=np.array([len(text) for text in texts], dtype=np.int64),
        row=row,
        first=first,
        slot=slot,
        pair=np.where(is_hypothesis, (np.cumsum(pairs) - pairs)[row] + slot * references[row], -1),
        reference=np.where(is_hypothesis, -1, slot - hypotheses[row]),
    )


def _scored(part: _Part) -> list[Array]:
    """A matrix a row."""
    pairs = [hypotheses * references for hypotheses, references in part.shapes]
    matches = np.zeros((sum(pairs), LONGEST_NGRAM))
    for order, (keys, bits) in enumerate(_keys(part)):
        matches[:, order] = _matches(part, keys, bits, len(matches))
    totals = np.maximum(part.lengths[:, None] - np.arange(LONGEST_NGRAM), 0)
    hypothesis, reference = _pairs(part)
    scores = _f_scores(matches, totals[hypothesis], totals[reference])
    ends = np.cumsum(pairs)[:-1]
    return [one.reshape(shape) for one, shape in zip(np.split(scores, ends), part.shapes, strict=True)]


def _pairs(part: _Part) -> tuple[Numbers, Numbers]:
    """Which text is the hypothesis and which the reference of every pair, [pairs] each."""
    is_hypothesis = part.pair >= 0
    references = np.array([references for _, references in part.shapes], dtype=np.int64)
    times = np.where(is_hypothesis, references[part.row], 0)
    hypothesis = np.repeat(np.arange(len(part.row)), times)
    hypotheses = np.array([hypotheses for hypotheses, _ in part.shapes], dtype=np.int64)
    place = np.arange(len(hypothesis)) - part.pair[hypothesis]
    row = part.row[hypothesis]
    return hypothesis, part.first[row] + hypotheses[row] + place


def _keys(part: _Part) -> Iterator[tuple[Numbers, int]]:
    """All n-grams, for n = 1 .. LONGEST_NGRAM, sorted, as bits of row, n-gram and slot; and the bits of an n-gram."""
    text = np.repeat(np.arange(len(part.lengths)), part.lengths)
    # Bits, and not products: to divide by them again is a shift.
    above, letter = part.row[text] << part.slot_bits(), (part.alphabet - 1).bit_length()
    owned, others = part.slot[text], (len(part.shapes) - 1).bit_length() + part.slot_bits()
    grams, bits = np.zeros_like(part.letters), 0
    for order in range(1, LONGEST_NGRAM + 1):
        last = part.letters[order - 1 :]
        if bits + letter + others > _KEY_BITS:
            grams, known = _numbered(grams)
            bits = (known - 1).bit_length()
        # An n-gram's number is that of its first n - 1 letters and that of its last.
        grams, bits = grams[: len(last)] << letter | last, bits + letter
        # Windows that reach from one text into the next are numbered too, for the longer ones' sake, but not counted.
        inside = np.flatnonzero(text[: len(last)] == text[order - 1 :])
        yield np.sort(above[inside] << bits | grams[inside] << part.slot_bits() | owned[inside]), bits


def _matches(part: _Part, keys: Numbers, bits: int, pairs: int) -> Array:
    """How many n-grams the texts of each pair have in common, [pairs]."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(starts, append=len(keys))
    # An entry: one n-gram of one text. Those of one row and n-gram are a group.
    entries = keys[starts]
    grams = entries >> part.slot_bits()
    text = part.first[grams >> bits] + (entries & ((1 << part.slot_bits()) - 1))
    group = np.cumsum(np.diff(grams, prepend=-1) > 0) - 1
    place = part.reference[text]
    mine = np.flatnonzero(place < 0)
    pair, group_of_mine, counts_of_mine = part.pair[text[mine]], group[mine], counts[mine]
    matches = np.zeros(pairs + (1 << part.slot_bits()))
    for reference in range(int(part.reference.max(initial=-1)) + 1):
        theirs = np.zeros(len(starts), dtype=np.int64)
        chosen = np.flatnonzero(place == reference)
        theirs[group[chosen]] = counts[chosen]
        common = np.minimum(counts_of_mine, theirs[group_of_mine])
        # A row with fewer references has nothing in common with this one, whatever pair that is counted for.
        matches += np.bincount(pair + reference, weights=common, minlength=len(matches))
    return matches[:pairs]


def _numbered(values: Numbers) -> tuple[Numbers, int]:
    """Values as numbers from 0 without gaps, and how many there are."""
    unique, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64), len(unique)


def _f_scores(matches: Array, hypotheses: Numbers, references: Numbers) -> Array:
    """From matches and numbers of n-grams, all [pairs, N], to scores [pairs].

    Precision and recall are averaged over those lengths of n-grams of which both texts have one.
    """
    precision = matches / np.maximum(hypotheses, 1)
    recall = matches / np.maximum(references, 1)
    both = (hypotheses > 0) & (references > 0)
    used = np.maximum(both.sum(axis=1), 1)
    mean_precision = (precision * both).sum(axis=1) / used
    mean_recall = (recall * both).sum(axis=1) / used
    denominator = _RECALL_WEIGHT * mean_precision + mean_recall
    product = (1 + _RECALL_WEIGHT) * mean_precision * mean_recall
    scores: Array = np.divide(100 * product, denominator, out=np.zeros_like(product), where=denominator > 0)
    return scores
