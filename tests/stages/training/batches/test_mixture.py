"""Whose turn it is: against the shares, and the same from any place."""

import itertools
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from data.errors import DataError
from stages.training.batches.batches import BatchSource
from stages.training.batches.mixture import Mixture, Place
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import WORDS, Spaces, pairs, stream

VOCABULARY = Vocabulary.from_tokens(WORDS)


def source(name: str, rows: int) -> BatchSource:
    return BatchSource(stream(name, pairs(rows, rows)), Spaces(), VOCABULARY, VOCABULARY, 60, 50, 50, 1)


def mixture(shares: Mapping[str, float] | None = None, **changes: object) -> Mixture:
    sources = {"one": source("one", 40), "two": source("two", 60), "three": source("three", 5)}
    held = shares or {"one": 3.0, "two": 1.0}
    return Mixture(**({"sources": sources, "shares": lambda step: held, "seed": 7} | changes))


def turns(mixed: Mixture, count: int) -> list[str]:
    return [batch.stream for batch, _ in itertools.islice(mixed.batches(Place()), count)]


def test_streams_come_as_often_as_their_shares_say() -> None:
    counts = Counter(turns(mixture(), 2000))
    assert set(counts) == {"one", "two"}
    # Three standard deviations of a binomial.
    assert counts["one"] == pytest.approx(1500, abs=3 * np.sqrt(2000 * 0.75 * 0.25))


def test_shares_follow_the_step_and_a_step_may_have_several_batches() -> None:
    mixed = mixture(shares=None, accumulate=2)
    mixed = Mixture(mixed.sources, lambda step: {"one": 1.0} if step <= 3 else {"two": 1.0}, 7, accumulate=2)
    assert turns(mixed, 10) == ["one"] * 6 + ["two"] * 4


def test_from_any_place_the_rest_is_the_same() -> None:
    run = list(itertools.islice(mixture().batches(Place()), 60))
    for number, (_, place) in enumerate(run[:-1]):
        again, after = next(mixture().batches(Place.of_state(place.state())))
        wanted, wanted_after = run[number + 1]
        assert (again.stream, after) == (wanted.stream, wanted_after)
        np.testing.assert_array_equal(again.src, wanted.src)


def test_another_seed_draws_other_turns() -> None:
    assert turns(mixture(), 50) != turns(mixture(seed=8), 50)


def test_a_stream_without_rows_says_so() -> None:
    empty = BatchSource(stream(shards=[]), Spaces(), VOCABULARY, VOCABULARY, 60, 50, 50, 1)
    mixed = Mixture({"empty": empty}, lambda step: {"empty": 1.0}, 7)
    with pytest.raises(
        DataError, match=r"nothing to train on: 0 shards hold no row with a reference; .* pairs it is for"
    ):
        next(mixed.batches(Place()))
