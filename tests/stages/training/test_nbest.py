"""An n-best taken apart, against weights computed by hand."""

import math
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.errors import DataError
from data.schema import NBEST
from stages.training.nbest import NBestConfig, exploded

HYPOTHESES = [
    [("a b", -0.1), ("a", -0.3), ("b", -0.6)],
    [("c", -2.0)],
    [("d", -0.5), ("d e", -0.5)],
]
UTILITY = [[20.0, 50.0, 40.0], [0.0], [10.0, 30.0]]
Row = tuple[str, str, float]


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


def rows(table: pa.Table) -> list[Row]:
    columns = (table.column(name).to_pylist() for name in ("source", "target_tokens", "weight"))
    return [(source, " ".join(tokens), weight) for source, tokens, weight in zip(*columns, strict=True)]


def softmax(*values: float) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def check(table: pa.Table, expected: list[Row]) -> None:
    found = rows(table)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-6)


def test_weights_are_softmaxed_scores() -> None:
    first, second, third = softmax(-0.1 / 0.5, -0.3 / 0.5, -0.6 / 0.5)
    of_x = [("x", "a b", first), ("x", "a", second), ("x", "b", third)]
    others = [("y", "c", 1.0), ("z", "d", 0.5), ("z", "d e", 0.5)]
    check(exploded(dataset(), NBestConfig(temperature=0.5)), [*of_x, *others])


def test_of_utilities_the_highest_are_taken() -> None:
    first, second = softmax(50 / 10, 40 / 10)
    third, fourth = softmax(30 / 10, 10 / 10)
    check(
        exploded(dataset(), NBestConfig(weights="utility", temperature=10, count=2)),
        [("x", "a", first), ("x", "b", second), ("y", "c", 1.0), ("z", "d e", third), ("z", "d", fourth)],
    )


def test_one_hypothesis_weighs_one() -> None:
    check(exploded(dataset(), NBestConfig(count=1)), [("x", "a b", 1.0), ("y", "c", 1.0), ("z", "d", 1.0)])


def test_other_columns_are_repeated_and_chunks_change_nothing() -> None:
    config = NBestConfig()
    table = exploded(dataset(), config)
    assert table["source_language"].to_pylist() == ["en"] * 3 + ["fr"] + ["en"] * 2
    assert table["weight"].type == pa.float32()
    parts = pa.concat_tables([dataset().slice(0, 1), dataset().slice(1)])
    assert rows(exploded(parts, config)) == rows(table)
    assert exploded(dataset().slice(0, 0), config).num_rows == 0
    assert rows(exploded(dataset().slice(1), config)) == rows(table)[3:]


def test_a_row_with_another_number_of_utilities_is_named() -> None:
    with pytest.raises(DataError, match="row 1: 1 hypotheses with 2 utilities"):
        exploded(dataset([[1.0, 2.0, 3.0], [1.0, 2.0], [1.0, 2.0]]), NBestConfig())


@pytest.mark.parametrize("options", [{"temperature": 0}, {"count": 0}, {"weights": "length"}])
def test_faults(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NBestConfig.model_validate(options)
