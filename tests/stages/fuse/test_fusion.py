"""Fused soft targets against means of full distributions, in float64, entry by entry."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from stages.fuse.fusion import Fused, Opinion, fuse, opinion

Array = npt.NDArray[np.float64]
N = 30


def distributions(random: np.random.Generator, vocabulary: int, teachers: int, peak: float = 0.3) -> list[Array]:
    """Of each teacher [N, V], few entries with most of the mass."""
    return [random.dirichlet(np.full(vocabulary, peak), size=N) for _ in range(teachers)]


def kept(full: Array, k: int, weight: float | Array, forced: npt.NDArray[np.int64]) -> Opinion:
    """What a teacher stores of its distributions, in float64."""
    ids = np.argsort(-full, axis=1)[:, :k]
    probs = np.take_along_axis(full, ids, axis=1)
    tail = np.where(k < full.shape[1], full.sum(axis=1) - probs.sum(axis=1), 0.0)
    token = np.log(full[np.arange(len(full)), forced])
    weights = np.broadcast_to(weight, len(full))
    with np.errstate(divide="ignore"):
        return opinion(ids, np.log(probs), np.log(np.maximum(tail, 0)), (token, entropy(full)), weights)


def entropy(full: Array) -> Array:
    return -(full * np.log(np.maximum(full, 1e-300))).sum(axis=1)  # type: ignore[no-any-return]


def completed(full: Array, k: int) -> Array:
    """The distributions [N, V] with the mass of all but the k largest entries spread evenly over them."""
    result = full.copy()
    for row in result:
        rest = np.argsort(-row)[k:]
        row[rest] = row[rest].mean() if len(rest) else 0.0
    return result


def mean(fulls: Sequence[Array], weights: Sequence[float]) -> Array:
    return sum(full * weight for full, weight in zip(fulls, weights, strict=True)) / sum(weights)  # type: ignore[no-any-return]


def dense(fused: Fused, vocabulary: int) -> Array:
    """Probabilities [N, V] of the entries that were kept; 0 for all others. No entry may come twice."""
    result = np.zeros((len(fused.topk_ids), vocabulary))
    for row, ids in enumerate(fused.topk_ids):
        assert len(set(ids.tolist())) == len(ids)
        result[row, ids] = np.exp(fused.topk_log_probs[row])
    return result


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.5)])
def test_where_all_entries_are_kept_it_is_the_mean_of_the_distributions(weights: tuple[float, ...]) -> None:
    random, vocabulary = np.random.default_rng(1), 11
    fulls, forced = distributions(random, vocabulary, 3), random.integers(0, vocabulary, N)
    fused = fuse(
        [kept(full, vocabulary, weight, forced) for full, weight in zip(fulls, weights, strict=True)],
        vocabulary,
        vocabulary,
    )
    expected = mean(fulls, weights)
    np.testing.assert_allclose(dense(fused, vocabulary), expected, rtol=1e-9, atol=1e-30)
    np.testing.assert_allclose(fused.entropy, entropy(expected), rtol=1e-9)
    np.testing.assert_allclose(fused.token_log_probs, np.log(expected[np.arange(N), forced]), rtol=1e-9)
    assert (fused.tail_log_mass < -80).all()


@pytest.mark.parametrize("sizes", [(4, 4), (3, 6), (1, 1), (9, 9)])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 4.0)])
def test_the_union_with_its_tail_is_the_mean_of_even_tails(
    sizes: tuple[int, int], weights: tuple[float, float]
) -> None:
    random, vocabulary = np.random.default_rng(2), 14
    fulls, forced = distributions(random, vocabulary, 2), random.integers(0, vocabulary, N)
    opinions = [kept(full, k, weight, forced) for full, k, weight in zip(fulls, sizes, weights, strict=True)]
    k = min(sum(sizes), vocabulary)
    fused = fuse(opinions, vocabulary, k)

    expected = mean([completed(full, size) for full, size in zip(fulls, sizes, strict=True)], weights)
    found = dense(fused, vocabulary)
    np.testing.assert_allclose(found[found > 0], expected[found > 0], rtol=1e-9)
    np.testing.assert_allclose(np.sort(-found, axis=1)[:, :k], np.sort(-expected, axis=1)[:, :k], rtol=1e-9)
    np.testing.assert_allclose(np.exp(fused.topk_log_probs).sum(axis=1) + np.exp(fused.tail_log_mass), 1.0, rtol=1e-12)
    assert all((after <= before).all() for before, after in pairwise(fused.topk_log_probs.T))
    # No further from the true mean than what is not known of each teacher allows.
    shares = np.array(weights) / sum(weights)
    room = sum(share * np.minimum(one.tail, one.probs.min(axis=1)) for share, one in zip(shares, opinions, strict=True))
    true = mean(fulls, weights)
    assert (np.abs(found - true)[found > 0] <= np.broadcast_to(room[:, None], found.shape)[found > 0] + 1e-12).all()
    np.testing.assert_allclose(fused.token_log_probs, np.log(true[np.arange(N), forced]), rtol=1e-9)


def test_entropy_is_what_the_teachers_have_and_what_their_disagreement_adds() -> None:
    random, vocabulary, k = np.random.default_rng(3), 40, 6
    fulls, forced = distributions(random, vocabulary, 2, peak=0.1), np.zeros(N, dtype=np.int64)
    fused = fuse([kept(full, k, 1.0, forced) for full in fulls], vocabulary, 2 * k)
    own = mean([entropy(full) for full in fulls], (1.0, 1.0))
    even = [completed(full, k) for full in fulls]
    added = entropy(mean(even, (1.0, 1.0))) - mean([entropy(full) for full in even], (1.0, 1.0))
    np.testing.assert_allclose(fused.entropy, own + added, rtol=1e-9)
    assert (fused.entropy >= own).all()
    assert (fused.entropy <= own + np.log(2)).all()
    np.testing.assert_allclose(fused.entropy, entropy(mean(fulls, (1.0, 1.0))), atol=0.15)


def test_what_is_beyond_k_goes_to_the_tail() -> None:
    random, vocabulary = np.random.default_rng(4), 30
    fulls, forced = distributions(random, vocabulary, 2), np.zeros(N, dtype=np.int64)
    opinions = [kept(full, 8, 1.0, forced) for full in fulls]
    whole, cut = fuse(opinions, vocabulary, 16), fuse(opinions, vocabulary, 5)
    np.testing.assert_array_equal(cut.topk_ids, whole.topk_ids[:, :5])
    lost = np.exp(whole.topk_log_probs[:, 5:]).sum(axis=1)
    np.testing.assert_allclose(np.exp(cut.tail_log_mass), np.exp(whole.tail_log_mass) + lost, rtol=1e-9)
    np.testing.assert_array_equal(cut.entropy, whole.entropy)


def test_a_teacher_without_a_say_changes_nothing() -> None:
    random, vocabulary, k = np.random.default_rng(5), 20, 4
    fulls, forced = distributions(random, vocabulary, 2), np.zeros(N, dtype=np.int64)
    says = np.arange(N) % 2 == 0
    one, other = kept(fulls[0], k, says * 2.0, forced), kept(fulls[1], k, ~says * 1.0, forced)
    fused = fuse([one, other], vocabulary, k)
    for row in range(N):
        alone = one if says[row] else other
        assert set(fused.topk_ids[row].tolist()) == set(alone.ids[row].tolist())
        np.testing.assert_allclose(np.exp(fused.topk_log_probs[row]), alone.probs[row], rtol=1e-9)
        assert np.exp(fused.tail_log_mass[row]) == pytest.approx(alone.tail[row], rel=1e-9)
        assert fused.entropy[row] == pytest.approx(alone.entropy[row], rel=1e-9)


def test_where_no_teacher_has_a_say_all_have_the_same() -> None:
    random, vocabulary = np.random.default_rng(6), 9
    fulls, forced = distributions(random, vocabulary, 2), np.zeros(N, dtype=np.int64)
    none = fuse([kept(full, 9, 0.0, forced) for full in fulls], vocabulary, 9)
    same = fuse([kept(full, 9, 7.0, forced) for full in fulls], vocabulary, 9)
    np.testing.assert_allclose(dense(none, 9), dense(same, 9), rtol=1e-12)


def test_no_positions_are_no_fault() -> None:
    empty = opinion(np.empty((0, 3)), np.empty((0, 3)), np.empty(0), (np.empty(0), np.empty(0)), np.empty(0))
    assert fuse([empty, empty], 10, 6).topk_ids.shape == (0, 6)
