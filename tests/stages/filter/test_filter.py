"""Verdicts against rules applied by hand, and numpy's quantiles over all rows at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.filter import stage as filtering
from tests.fixtures.artifacts import closed, new_artifact

GOOD = {
    "length_ratio": 1.0,
    "source_copy": 0.0,
    "repetition": 0.0,
    "log_prob_per_token": -0.3,
    "mean_entropy": 1.0,
    "reference_chrf": 50.0,
    "language_probability": 0.9,
    "target_length": 5,
    "placeholders_lost": 0,
    "numbers_lost": 0,
    "unknown_tokens": 0,
    "remarks": 0,
    "line_breaks": 0,
    "columns": [],
    "too_long_to_score": False,
    "without_soft_targets": False,
}


def test_every_failed_rule_is_a_reason_and_the_waterfall_adds_up(tmp_path: Path) -> None:
    rows = [
        {},
        {"length_ratio": 9.0},
        {"length_ratio": 9.0, "placeholders_lost": 2},
        {"language_probability": None, "reference_chrf": None, "source_copy": None},
        {"length_ratio": 0.0},
        {"length_ratio": 5.0},
    ]
    rules = {"log_prob_per_token": {}}

    verdicts, metrics = _run(tmp_path, rows, rules)

    assert [row["reasons"] for row in verdicts] == [
        [],
        ["length_ratio"],
        ["length_ratio", "placeholders_lost"],
        [],
        ["empty_target", "length_ratio"],
        [],
    ]
    assert [row["accepted"] for row in verdicts] == [True, False, False, True, False, True]
    assert (metrics["rows"], metrics["accepted"]) == (6, 3)
    steps = {step["rule"]: step for step in metrics["waterfall"]}
    assert "log_prob_per_token" not in steps, "a rule without bounds turns nobody down"
    assert (steps["length_ratio"]["failed"], steps["length_ratio"]["failed_alone"]) == (3, 1)
    assert steps["placeholders_lost"] | {"unknown": 0} == {
        "rule": "placeholders_lost",
        "min": None,
        "max": 0.0,
        "failed": 1,
        "failed_alone": 0,
        "left": 3,
        "unknown": 0,
    }
    assert [step["left"] for step in metrics["waterfall"]][:2] == [5, 3]
    assert steps["language_probability"]["unknown"] == 1


def test_quantiles_are_those_of_all_shards_together(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=101).astype(np.float32)
    rows = [{"mean_entropy": float(value)} for value in values]
    rules = {"mean_entropy": {"min_quantile": 0.1, "max_quantile": 0.75}, "log_prob_per_token": {}}

    verdicts, metrics = _run(tmp_path, rows, rules, shards=4)

    low, high = np.quantile(values.astype(np.float64), [0.1, 0.75])
    assert [row["accepted"] for row in verdicts] == [bool(low <= value <= high) for value in values]
    step = next(step for step in metrics["waterfall"] if step["rule"] == "mean_entropy")
    assert (step["min"], step["max"]) == pytest.approx((low, high))


def test_quantiles_are_of_rows_with_a_target_and_a_known_measure(tmp_path: Path) -> None:
    rows = [{"reference_chrf": float(value)} for value in range(5)]
    others = [{"length_ratio": 0.0, "reference_chrf": -100.0}, {"reference_chrf": None}]
    rules = {"reference_chrf": {"min_quantile": 0.5}, "log_prob_per_token": {}}

    verdicts, metrics = _run(tmp_path, rows + others, rules)

    assert [row["accepted"] for row in verdicts] == [False, False, True, True, True, False, True]
    step = next(step for step in metrics["waterfall"] if step["rule"] == "reference_chrf")
    assert (step["min"], step["unknown"]) == (2.0, 1)


def test_rows_that_no_teacher_could_score_fail_under_any_policy_and_count_in_no_quantile(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"reference_chrf": float(value)} for value in range(5)]
    unscored = {"log_prob_per_token": None, "mean_entropy": None, "reference_chrf": -100.0, "too_long_to_score": True}
    rules = {"reference_chrf": {"min_quantile": 0.5}, "log_prob_per_token": {}}

    verdicts, metrics = _run(tmp_path, [*rows, unscored], rules)

    assert [row["reasons"] for row in verdicts[2:]] == [[], [], [], ["too_long_to_score", "reference_chrf"]]
    steps = {step["rule"]: step for step in metrics["waterfall"]}
    assert (steps["too_long_to_score"]["failed"], steps["too_long_to_score"]["left"]) == (1, 5)
    assert steps["reference_chrf"]["min"] == 2.0
    _, metrics = _run(tmp_path / "none", rows, rules)
    assert "too_long_to_score" not in {step["rule"] for step in metrics["waterfall"]}, "where there is none"


def test_without_rows_or_rules_there_is_nothing_to_fail(tmp_path: Path) -> None:
    verdicts, metrics = _run(tmp_path, [], {"mean_entropy": {"min_quantile": 0.1}})
    assert (verdicts, metrics["rows"], metrics["accepted"]) == ([], 0, 0)


def test_a_bound_lets_its_own_value_pass_and_one_quantile_makes_one_bound(tmp_path: Path) -> None:
    rows = [{"source_copy": value, "reference_chrf": value} for value in (0.7, 0.8, 0.9)]
    rules = {"source_copy": {"max": 0.8}, "reference_chrf": {"min_quantile": 0.5}, "log_prob_per_token": {}}
    verdicts, metrics = _run(tmp_path, rows, rules)
    assert [row["reasons"] for row in verdicts] == [["reference_chrf"], [], ["source_copy"]]
    step = next(step for step in metrics["waterfall"] if step["rule"] == "reference_chrf")
    assert (step["min"], step["max"]) == (pytest.approx(0.8), None)


def test_the_tighter_of_two_bounds_counts(tmp_path: Path) -> None:
    rows = [{"mean_entropy": float(value)} for value in range(11)]
    rules = {"mean_entropy": {"min": 3.0, "min_quantile": 0.1, "max": 100.0, "max_quantile": 0.9}}
    verdicts, _ = _run(tmp_path, rows, {**rules, "log_prob_per_token": {}})
    assert [row["accepted"] for row in verdicts] == [3 <= value <= 9 for value in range(11)]


def test_a_rule_that_no_row_can_pass_is_a_fault() -> None:
    with pytest.raises(ValidationError, match=r"min 2\.0 is above max 1\.0"):
        filtering.Config.model_validate({"rules": {"length_ratio": {"min": 2, "max": 1}}})


def _run(
    folder: Path, rows: list[dict[str, Any]], rules: dict[str, Any], shards: int = 1
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    measure = _measures(folder, rows, shards)
    output = new_artifact(folder, "filter")
    config = filtering.Config.model_validate({"rules": rules})
    metrics = filtering.run({"measure": measure}, config, output, Runtime())
    closed(output)
    assert output.shard_names() == measure.shard_names()
    found = pa.concat_tables(output.tables())
    assert found.column("id").to_pylist() == [f"{number:05}" for number in range(len(rows))]
    return found.to_pylist(), metrics


def _measures(folder: Path, rows: list[dict[str, Any]], shards: int) -> Artifact:
    output = new_artifact(folder, "measure")
    full = [{"id": f"{number:05}", **GOOD, **row} for number, row in enumerate(rows)]
    for number, part in enumerate(np.array_split(np.arange(len(full)), shards)):
        table = pa.Table.from_pylist([full[index] for index in part], schema=schema.MEASURES)
        output.write_shard(f"train-{number:05}", table)
    return closed(output)
