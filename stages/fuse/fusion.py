"""Soft targets of several teachers as those of one: their weighted mean, over all of the vocabulary.

A teacher kept the probabilities of K entries and the mass of all others, its tail. Of an entry that it did not keep no
more is known than its even share of that tail, which is what is taken: exact where K is V or V - 1, and else off by no
more than that teacher's weight times the smaller of its tail and its least kept probability. So the union of all
supports, with the tail of what no teacher kept, holds all of the mass. N is the number of positions, K of entries kept
at each, V the vocabulary's size.

The log-probability of a forced token is exact: every teacher kept its own. The entropy of a mean is the mean of the
entropies, which is exact, and what the teachers' disagreement adds to it: that is computed with even tails, and lies
between 0 and the entropy of the weights, as it truly does. Of a teacher that is given the entropy is not known; it
counts with an even tail, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Less than any probability that is kept; its logarithm is still a number.
_LEAST = 1.0e-38


@dataclass(frozen=True)
class Opinion:
    """What one teacher kept of N positions; at each, kept entries and tail sum to 1."""

    ids: Ids  # [N, K]
    probs: Floats  # [N, K]
    tail: Floats  # [N]
    token_log_probs: Floats  # [N]
    entropy: Floats  # [N], of the whole distribution, in nats
    weight: Floats  # [N], in any unit; 0 where it has no say

    def even(self, vocabulary_size: int) -> Floats:
        """Share of each entry that was not kept, [N]."""
        return np.asarray(self.tail / max(vocabulary_size - self.ids.shape[1], 1))


@dataclass(frozen=True)
class Fused:
    """What is kept of the mean of N positions; see `data.schema.SOFT_TARGETS`."""

    topk_ids: Ids  # [N, K]
    topk_log_probs: Floats  # [N, K]
    tail_log_mass: Floats  # [N]
    token_log_probs: Floats  # [N]
    entropy: Floats  # [N]


def opinion(
    ids: Array, log_probs: Array, tail_log_mass: Array, positions: tuple[Array, Array], weight: Array
) -> Opinion:
    """Of what was stored; `positions` are log-probabilities of forced tokens and entropies, [N] each.

    Rounding to be stored is taken back as far as it moved the sum.
    """
    probs, tail = np.exp(log_probs.astype(np.float64)), np.exp(tail_log_mass.astype(np.float64))
    total = probs.sum(axis=1) + tail
    token, entropy = (values.astype(np.float64) for values in positions)
    return Opinion(
        ids.astype(np.int64), probs / total[:, None], tail / total, token, entropy, weight.astype(np.float64)
    )


def fuse(opinions: Sequence[Opinion], vocabulary_size: int, k: int) -> Fused:
    """The k most probable entries of the weighted mean, and the mass of all others.

    Where the teachers kept fewer than k entries between them, others of the lowest ids join with their even share.
    Where no teacher has a say, all have the same.
    """
    shares = _shares([each.weight for each in opinions])
    evens = [each.even(vocabulary_size) for each in opinions]
    base = _mean(shares, evens)
    ids = np.concatenate([each.ids for each in opinions], axis=1)
    gains = [
        share[:, None] * (each.probs - even[:, None]) for each, share, even in zip(opinions, shares, evens, strict=True)
    ]
    ids, probs = _union(ids, np.concatenate(gains, axis=1), base, vocabulary_size)
    known = probs >= 0
    others = np.maximum(vocabulary_size - known.sum(axis=1), 0)
    disagreement = _entropy(probs, base, others) - _mean(
        shares,
        [
            _entropy(each.probs, even, vocabulary_size - each.ids.shape[1])
            for each, even in zip(opinions, evens, strict=True)
        ],
    )
    order = np.argsort(-probs, axis=1, kind="stable")
    ids, probs = np.take_along_axis(ids, order, axis=1), np.take_along_axis(probs, order, axis=1)
    tail = np.maximum(probs[:, k:], 0.0).sum(axis=1) + base * others
    token = _mean(shares, [np.exp(each.token_log_probs) for each in opinions])
    return Fused(
        topk_ids=ids[:, :k],
        topk_log_probs=_log(probs[:, :k]),
        tail_log_mass=_log(tail),
        token_log_probs=_log(token),
        entropy=_mean(shares, [each.entropy for each in opinions]) + np.maximum(disagreement, 0.0),
    )


def even_entropy(log_probs: Array, tail_log_mass: Array, vocabulary_size: int) -> Floats:
    """Of what a teacher kept, its tail taken as even, in nats, [N]: the most that it can be."""
    probs, tail = np.exp(log_probs.astype(np.float64)), np.exp(tail_log_mass.astype(np.float64))
    others = vocabulary_size - probs.shape[1]
    return _entropy(probs, tail / max(others, 1), others)


def _shares(weights: Sequence[Floats]) -> list[Floats]:
    """Weights that sum to 1 at every position."""
    total = np.sum(weights, axis=0)
    silent = total == 0
    return [np.where(silent, 1.0 / len(weights), weight / np.where(silent, 1.0, total)) for weight in weights]


def _mean(shares: Sequence[Floats], values: Sequence[Array]) -> Floats:
    return np.asarray(sum(share * value for share, value in zip(shares, values, strict=True)))


def _union(ids: Ids, gains: Floats, base: Floats, vocabulary_size: int) -> tuple[Ids, Floats]:
    """Every entry once, [N, C] each, with its mean probability; -1 in places for which there is no entry left.

    `gains` [N, C] is what an entry has of a teacher beyond its even share; all even shares together are `base`.
    """
    order = np.argsort(ids, axis=1, kind="stable")
    ids, gains = np.take_along_axis(ids, order, axis=1), np.take_along_axis(gains, order, axis=1)
    first = np.ones(ids.shape, dtype=bool)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    sums = np.bincount(np.cumsum(first.ravel()) - 1, weights=gains.ravel())
    probs = np.full(ids.shape, -1.0)
    probs[first] = np.maximum(sums + np.broadcast_to(base[:, None], ids.shape)[first], _LEAST)
    _fill(ids, probs, ~first, base, vocabulary_size)
    return ids, probs


def _fill(ids: Ids, probs: Floats, free: npt.NDArray[np.bool_], base: Floats, vocabulary_size: int) -> None:
    """Gives the places that repeat an entry to the lowest ids that no teacher kept, as far as there are any."""
    lowest = min(ids.shape[1], vocabulary_size)
    taken = np.zeros((len(ids), lowest), dtype=bool)
    rows, places = np.nonzero(~free & (ids < lowest))
    taken[rows, ids[rows, places]] = True
    others = np.argsort(taken, axis=1, kind="stable")
    number = np.cumsum(free, axis=1) - 1
    rows, places = np.nonzero(free & (number < lowest - taken.sum(axis=1, keepdims=True)))
    ids[rows, places] = others[rows, number[rows, places]]
    probs[rows, places] = np.maximum(base[rows], _LEAST)


def _entropy(probs: Floats, even: Floats, others: Array | int) -> Floats:
    """Of `probs` [N, C], negative ones left out, and so many other entries of the probability `even` [N]; in nats."""
    return np.asarray(-_times_log(np.maximum(probs, 0.0)).sum(axis=1) - others * _times_log(even))


def _times_log(probs: Floats) -> Floats:
    return np.asarray(probs * np.log(np.maximum(probs, _LEAST)))


def _log(probs: Floats) -> Floats:
    return np.asarray(np.log(np.clip(probs, _LEAST, 1.0)))
