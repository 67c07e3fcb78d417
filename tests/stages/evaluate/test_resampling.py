"""Intervals against the normal approximation, which they approach, and against what they must hold."""

import math

import numpy as np
import pytest

from stages.evaluate.resampling import mean_interval, ratio_interval


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution_for_many_values() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 4000)
    low, high = mean_interval(values.tolist(), 2000, seed=1)
    half = 1.96 * float(values.std()) / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_the_interval_of_a_ratio_weighs_sentences_by_their_size() -> None:
    """Delta method: the variance of sum(parts) / sum(sizes) is that of parts - ratio * sizes over the mean size."""
    random = np.random.default_rng(2)
    sizes = random.integers(1, 30, 3000)
    parts = random.binomial(sizes, 0.3)
    ratio = parts.sum() / sizes.sum()
    half = 1.96 * (parts - ratio * sizes).std() / (math.sqrt(len(sizes)) * sizes.mean())
    low, high = ratio_interval(parts.tolist(), sizes.tolist(), 2000, seed=3)
    assert (low, high) == pytest.approx((ratio - half, ratio + half), abs=0.1 * half)


def test_a_seed_gives_the_same_interval_and_equal_values_have_none() -> None:
    values = [float(number) for number in range(50)]
    assert mean_interval(values, 300, seed=4) == mean_interval(values, 300, seed=4)
    assert mean_interval(values, 300, seed=4) != mean_interval(values, 300, seed=5)
    assert mean_interval([7.0] * 9, 100, seed=0) == [7.0, 7.0]


@pytest.mark.parametrize("at_once", [1, 100, 130, 1 << 20])
def test_what_is_drawn_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """One resample after the other, sorted; a bound between two of them is where the line between them says."""
    values = [float(number) for number in range(40)]
    random = np.random.default_rng(6)
    means = sorted(sum(values[row] for row in random.integers(40, size=40)) / 40 for _ in range(200))
    places = [0.025 * 199, 0.975 * 199]
    wanted = [means[int(place)] + (place % 1) * (means[int(place) + 1] - means[int(place)]) for place in places]
    monkeypatch.setattr("stages.evaluate.resampling._AT_ONCE", at_once)
    assert mean_interval(values, 200, seed=6) == pytest.approx(wanted, abs=1e-9)


def test_nothing_to_draw_from_gives_no_interval_and_unequal_lengths_are_a_fault() -> None:
    assert ratio_interval([], [], 100, seed=0) == [0.0, 0.0]
    assert ratio_interval([0.0, 0.0], [0.0, 0.0], 100, seed=0) == [0.0, 0.0]
    with pytest.raises(ValueError, match="2 parts for 1 sizes"):
        ratio_interval([1.0, 2.0], [1.0], 100, seed=0)
