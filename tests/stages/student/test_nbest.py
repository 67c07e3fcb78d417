"""Draws from an n-best, against probabilities computed by hand."""

import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from data.errors import DataError
from data.schema import NBEST
from stages.student.nbest import NBestConfig, drawn

HYPOTHESES = [
    [("a b", -0.1), ("a", -0.3), ("b", -0.6)],
    [("c", -2.0)],
    [("d", -0.5), ("d e", -0.5)],
]
UTILITY = [[20.0, 50.0, 40.0], [0.0], [10.0, 30.0]]


def dataset(utility: list[list[float]] | None = None) -> pa.Table:
    nbest = [
        [{"tokens": text.split(), "text": text, "score": score, "teacher": "teacher"} for text, score in row]
        for row in HYPOTHESES
    ]
    return pa.table(
        {
            "id": ["0", "1", "2"],
            "source": ["x", "y", "z"],
            "source_language": ["en", "fr", "en"],
            "hypotheses": pa.array(nbest, NBEST.field("hypotheses").type),
            "utility": pa.array(utility or UTILITY, pa.list_(pa.float32())),
        }
    )


def softmax(*values: float) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def shares(config: NBestConfig, epochs: int = 4000) -> list[dict[str, float]]:
    """How often each row's hypotheses are drawn."""
    counts: list[Counter[str]] = [Counter() for _ in HYPOTHESES]
    for epoch in range(epochs):
        for row, tokens in enumerate(drawn(dataset(), epoch, config).column("target_tokens").to_pylist()):
            counts[row][" ".join(tokens)] += 1
    return [{target: number / epochs for target, number in row.items()} for row in counts]


def check(config: NBestConfig, *expected: dict[str, float]) -> None:
    for found, wanted in zip(shares(config), expected, strict=True):
        assert found == pytest.approx(wanted, abs=2e-3)


def test_it_draws_as_often_as_softmaxed_scores_say() -> None:
    first, second, third = softmax(-0.1 / 0.5, -0.3 / 0.5, -0.6 / 0.5)
    check(NBestConfig(temperature=0.5), {"a b": first, "a": second, "b": third}, {"c": 1.0}, {"d": 0.5, "d e": 0.5})


def test_of_utilities_the_highest_are_taken() -> None:
    first, second = softmax(50 / 10, 40 / 10)
    third, fourth = softmax(30 / 10, 10 / 10)
    config = NBestConfig(weights="utility", temperature=10, count=2)
    check(config, {"a": first, "b": second}, {"c": 1.0}, {"d e": third, "d": fourth})


def test_the_mean_gradient_is_that_of_the_weighted_cross_entropy() -> None:
    """In float64, on a model of the next token given the row and the last token; a sentence's loss is a sum."""
    vocabulary = ["<s>", "a", "b", "c", "d", "e", "</s>"]
    table = torch.randn(3, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def loss(row: int, target: str) -> torch.Tensor:
        ids = [vocabulary.index(token) for token in ["<s>", *target.split(), "</s>"]]
        return torch.nn.functional.cross_entropy(table[row, ids[:-1]], torch.tensor(ids[1:]), reduction="sum")

    def gradient(losses: list[torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(torch.stack(losses).sum(), table)[0]

    config, epochs = NBestConfig(weights="utility", temperature=10), 1500
    counts = Counter(
        (row, " ".join(tokens))
        for epoch in range(epochs)
        for row, tokens in enumerate(drawn(dataset(), epoch, config)["target_tokens"].to_pylist())
    )
    mean = gradient([loss(*key) * number / epochs for key, number in counts.items()])
    weights = [softmax(*(worth / 10 for worth in row)) for row in UTILITY]
    expected = [
        weight * loss(row, text)
        for row, hypotheses in enumerate(HYPOTHESES)
        for weight, (text, _) in zip(weights[row], hypotheses, strict=True)
    ]
    torch.testing.assert_close(mean, gradient(expected), rtol=0, atol=2e-3)


def test_of_one_hypothesis_the_best_is_drawn() -> None:
    check(NBestConfig(count=1), {"a b": 1.0}, {"c": 1.0}, {"d": 1.0})


@pytest.mark.parametrize("begin", [0, 7])
def test_few_epochs_are_enough_to_meet_them_all(begin: int) -> None:
    even = NBestConfig(temperature=1e6)
    met = {" ".join(drawn(dataset(), epoch, even)["target_tokens"][0].as_py()) for epoch in range(begin, begin + 5)}
    assert met == {"a b", "a", "b"}


def test_rows_and_other_columns_stay_and_chunks_change_nothing() -> None:
    config = NBestConfig()
    for epoch in range(5):
        table = drawn(dataset(), epoch, config)
        assert table.column_names == ["id", "source", "source_language", "target_tokens"]
        assert table["source"].to_pylist() == ["x", "y", "z"]
        parts = pa.concat_tables([dataset().slice(0, 1), dataset().slice(1)])
        assert drawn(parts, epoch, config).to_pydict() == table.to_pydict()
        assert drawn(dataset().slice(1), epoch, config).to_pydict() == table.slice(1).to_pydict()
        assert drawn(dataset().slice(0, 0), epoch, config).num_rows == 0


def test_texts_are_for_a_tokenizer_of_the_student_s_own() -> None:
    assert drawn(dataset(), 0, NBestConfig(count=1), "text")["target_tokens"].to_pylist() == ["a b", "c", "d"]


def test_a_row_with_another_number_of_utilities_is_named() -> None:
    with pytest.raises(DataError, match="row 1: 1 hypotheses with 2 utilities"):
        drawn(dataset([[1.0, 2.0, 3.0], [1.0, 2.0], [1.0, 2.0]]), 0, NBestConfig())


@pytest.mark.parametrize("options", [{"temperature": 0}, {"count": 0}, {"weights": "length"}, {"weights": "utility"}])
def test_faults(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NBestConfig.model_validate(options)
