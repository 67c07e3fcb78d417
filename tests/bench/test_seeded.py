"""Differences between trainings with several seeds."""

import itertools
import random

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from bench.seeded import chrf_difference
from stages.evaluate.quality import Scoring, compare_systems

WORDS = ["sensor", "Gerät", "Licht", "Schalter", "Kamera", "an", "aus", "gut"]


def lines(seed: int, count: int = 60) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    return [" ".join(draw.choices(WORDS, k=4)) for _ in range(count)]


def worse(references: list[str], every: int) -> list[str]:
    return ["falsch" if number % every == 0 else line for number, line in enumerate(references)]


def test_of_one_training_a_side_it_is_the_paired_bootstrap() -> None:
    references = lines(1)
    system, against = worse(references, 4), worse(references, 3)
    expected = compare_systems({"a": system, "b": against}, references, [("a", "b")], Scoring())[0]["chrf"]
    found = chrf_difference([system], [against], references, Scoring())
    assert found == {**expected, "difference": pytest.approx(expected["difference"])}


def test_the_interval_holds_what_a_training_owes_to_its_seed() -> None:
    """All sentences are one, so that only the draw of trainings is left, whose distribution is counted out."""
    reference = "Das Licht ist an"
    texts = ["Das Licht ist an", "Das Licht ist aus", "Das Gerät ist gut"]

    def score(text: str) -> float:
        """As sacrebleu scores resamples, in float32: all of them are alike here."""
        return float(CHRF().corpus_score([text] * 5, [[reference] * 5], n_bootstrap=2)._mean)

    scores, other = [score(text) for text in texts], score("Licht an")
    found = chrf_difference([[t] * 5 for t in texts], [["Licht an"] * 5], [reference] * 5, Scoring(samples=20_000))
    means = [np.mean(drawn) - other for drawn in itertools.product(scores, repeat=3)]
    assert found["difference"] == pytest.approx(np.mean(scores) - other)
    expected = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert found["interval"] == pytest.approx(list(expected), abs=1e-6)


def test_many_alike_are_as_one() -> None:
    references = lines(2)
    system, against = worse(references, 5), worse(references, 3)
    one = chrf_difference([system], [against], references, Scoring())
    many = chrf_difference([system] * 3, [against] * 2, references, Scoring())
    assert many["difference"] == pytest.approx(one["difference"])
    assert many["interval"] == pytest.approx(one["interval"], rel=0.1)
