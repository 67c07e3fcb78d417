"""What the filter says loudly: rules that fail too many rows, languages and columns of which nothing is known."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.filter import stage as filtering
from tests.fixtures.artifacts import artifact_of_tables, new_artifact
from tests.stages.filter.test_filter import GOOD


def judged(folder: Path, rows: list[dict[str, Any]], config: dict[str, Any], language: str = "de") -> dict[str, Any]:
    """The metrics; row n has the source "source n" and the target "target n"."""
    ids = [f"{number:05}" for number in range(len(rows))]
    shards: dict[str, list[int]] = {"train-00000": [*range(40)], "train-00001": [*range(40, len(rows))]}
    measures = [{"id": name, **GOOD, **row} for name, row in zip(ids, rows, strict=True)]
    inputs: dict[str, Artifact] = {
        "measure": artifact_of_tables(
            folder,
            "measure",
            {
                name: pa.Table.from_pylist([measures[row] for row in part], schema.MEASURES)
                for name, part in shards.items()
            },
        )
    }
    for node, column in (("corpus", "source"), ("select", "target")):
        tables = {
            name: pa.table(
                {
                    "id": [ids[row] for row in part],
                    column: [f"{column} {row}" for row in part],
                    "target_language": [language] * len(part),
                }
            )
            for name, part in shards.items()
        }
        inputs[node] = artifact_of_tables(folder, node, tables)
    return filtering.run(inputs, filtering.Config.model_validate(config), new_artifact(folder, "filter"), Runtime())


def test_a_rule_that_fails_many_rows_is_told_with_examples(tmp_path: Path) -> None:
    rows = [{"numbers_lost": 2} if number in (7, 30, 41, 50) else {} for number in range(100)]
    found = judged(tmp_path, rows, {})["warnings"]
    [warning] = [text for text in found if "numbers_lost" in text]
    head, *examples = warning.split("\n")
    assert "fails 4 of 100 rows (4.0%)" in head
    assert examples == [
        "  2: 'source 7' -> 'target 7'",
        "  2: 'source 30' -> 'target 30'",
        "  2: 'source 41' -> 'target 41'",
    ]


def test_a_few_rows_and_those_that_a_quantile_asks_for_are_no_news(tmp_path: Path) -> None:
    rows = [{"mean_entropy": float(number), "numbers_lost": int(number < 3)} for number in range(100)]
    quantile = {"rules": {"mean_entropy": {"min_quantile": 0.1, "max_quantile": 0.9}}}
    assert judged(tmp_path / "a", rows, quantile)["warnings"] == []
    assert len(judged(tmp_path / "b", rows, {**quantile, "warn_share": 0.02})["warnings"]) == 1
    bound = {"rules": {"mean_entropy": {"min": 10.0}}}
    assert len(judged(tmp_path / "c", rows, bound)["warnings"]) == 1
    assert judged(tmp_path / "d", rows, {**bound, "warn_share": 1})["warnings"] == []


def test_a_language_that_nobody_can_tell_is_said_once(tmp_path: Path) -> None:
    [warning] = judged(tmp_path / "a", [{}] * 100, {}, "gl")["warnings"]
    assert warning.startswith("the language of 100 targets in gl is not checked, but for their script")
    assert judged(tmp_path / "b", [{}] * 100, {}, "de")["warnings"] == []
    without_rule = {"rules": {"language_probability": {}}}
    assert judged(tmp_path / "c", [{}] * 100, without_rule, "gl")["warnings"] == []


def test_rows_without_a_columns_value_pass_and_are_told(tmp_path: Path) -> None:
    values = [0.2, 0.9, None, *([0.7] * 97)]
    rows = [{"columns": [{"name": "other", "value": 0.0}, {"name": "qe", "value": value}]} for value in values]
    metrics = judged(tmp_path, rows, {"rules": {"columns": {"qe": {"min": 0.5}}}})
    step = next(step for step in metrics["waterfall"] if step["rule"] == "column:qe")
    assert (step["failed"], step["unknown"], step["min"]) == (1, 1, 0.5)
    assert metrics["accepted"] == 99
    assert metrics["warnings"] == [
        "the rule column:qe has no value for 1 of 100 rows (1.0%), which pass it: the file does not name them"
    ]


def test_quantiles_of_a_column_are_of_the_values_that_there_are(tmp_path: Path) -> None:
    rows = [{"columns": [{"name": "qe", "value": float(number) if number < 90 else None}]} for number in range(100)]
    metrics = judged(tmp_path, rows, {"rules": {"columns": {"qe": {"min_quantile": 0.5}}}})
    step = next(step for step in metrics["waterfall"] if step["rule"] == "column:qe")
    assert (step["min"], step["failed"]) == (44.5, 45)
