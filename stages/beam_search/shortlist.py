"""A shortlist: the target subwords that may stand for the subwords of a source, learned from the corpus.

Where the vocabulary is large its output layer is much of a step; CTranslate2 can compute a part of it, those entries
that a file `vmap.txt` names for the sources of a batch. Soft targets are over the whole vocabulary and never use it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FILE = "vmap.txt"
# Pairs of subwords in parallel sentences from which it is learned; more would only cost memory.
MOST_LINKS = 20_000_000
# Target subwords that are candidates whatever the source: function words and endings.
FREQUENT = 100
_ROUNDS = 4
# Not among the subwords: it stands for target subwords that nothing in the source stands for.
_NOTHING = ""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def learn_shortlist(
    pairs: Iterable[tuple[Sequence[str], Sequence[str]]], vocabulary: Sequence[str], candidates: int
) -> str:
    """The content of `vmap.txt`: for every source subword its `candidates` most probable target subwords.

    `pairs` are subwords of parallel sentences, `vocabulary` the target's V tokens. Probabilities are those of IBM
    Model 1 (Brown et al. 1993, https://aclanthology.org/J93-2003). A source subword that is itself a token of the
    target may always be copied.
    """
    known = {token: number for number, token in enumerate(vocabulary)}
    links, frequencies = _links(pairs, known)
    always = [token for token, _ in sorted(frequencies.items(), key=lambda item: (-item[1], item[0]))[:FREQUENT]]
    best = links.best(candidates)
    always += [vocabulary[number] for number in best.pop(_NOTHING, [])]
    lines = [f"\t{' '.join(dict.fromkeys(always))}"]
    for source, numbers in sorted(best.items()):
        copied = [source] if source in known else []
        lines.append(f"{source}\t{' '.join(dict.fromkeys([*copied, *(vocabulary[number] for number in numbers)]))}")
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class _Links:
    """Which source subword (`pair_source`, of `sources`) stands in a sentence with which target subword
    (`pair_target`), once a pair; and of each of L links its pair and its target position."""

    sources: Sequence[str]
    pair_source: Ints
    pair_target: Ints
    pair: Ints
    position: Ints

    def best(self, candidates: int) -> dict[str, list[int]]:
        """Of each source subword the most probable targets, best first."""
        probability = self._probabilities()
        order = np.lexsort((self.pair_target, -probability, self.pair_source))
        ordered = self.pair_source[order]
        rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        found: dict[str, list[int]] = {}
        for pair in order[rank < candidates]:
            found.setdefault(self.sources[self.pair_source[pair]], []).append(int(self.pair_target[pair]))
        return found

    def _probabilities(self) -> Floats:
        """p(target | source) of every pair, by expectation and maximisation."""
        probability: Floats = np.ones(len(self.pair_source))
        for _ in range(_ROUNDS):
            weight = probability[self.pair]
            share = weight / np.bincount(self.position, weight)[self.position]
            counts = np.bincount(self.pair, share, minlength=len(probability))
            probability = counts / np.bincount(self.pair_source, counts)[self.pair_source]
        return probability


def _links(pairs: Iterable[tuple[Sequence[str], Sequence[str]]], known: dict[str, int]) -> tuple[_Links, Counter[str]]:
    numbers: dict[str, int] = {_NOTHING: 0}
    frequencies: Counter[str] = Counter()
    keys, positions = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    total = place = 0
    for source, target in pairs:
        targets = [token for token in target if token in known]
        frequencies.update(targets)
        ids = np.array([0, *(numbers.setdefault(token, len(numbers)) for token in source)], np.int64)
        wanted = np.array([known[token] for token in targets], np.int64)
        keys.append((ids[:, None] * len(known) + wanted).ravel())
        positions.append(np.tile(np.arange(place, place + len(wanted)), len(ids)))
        place += len(wanted)
        total += keys[-1].size
        if total > MOST_LINKS:
            break
    pair, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return _Links(list(numbers), pair // len(known), pair % len(known), inverse, np.concatenate(positions)), frequencies
