"""Columns of others in a recipe: each is named, has a file, and is where it belongs."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.recipe.cross_faults import cross_faults
from pipeline.recipe.graph import STAGES
from pipeline.recipe.sections import check_stages
from stages.filter import stage as filter
from stages.measure import stage as measure


def checked(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    return check_stages(document, [entry for entry in STAGES if entry.node in ("select", "measure", "filter")])


@pytest.fixture
def column(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "qe.tsv"
    path.write_text("id\ttarget\tqe\n", encoding="utf-8")
    return {"name": "qe", "path": str(path)}


def test_select_has_the_column_that_it_names_and_no_other(column: dict[str, Any]) -> None:
    other = column | {"name": "other"}
    configs, faults = checked({"measure": {"columns": [other, column]}, "select": {"metric": "column:qe"}})
    assert faults == []
    assert [one.name for one in configs["select"].columns] == ["qe"]
    assert [one.name for one in configs["measure"].columns] == ["other", "qe"]
    configs, faults = checked({"measure": {"columns": [other, column]}})
    assert (configs["select"].columns, faults) == ((), [])


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"select": {"metric": "column:qe"}}, "no [[measure.columns]] of that name; there is none"),
        ({"select": {"columns": []}}, "select.columns: taken from [[measure.columns]]; write it there"),
        ({"measure": {"columns": [{"name": "qe", "path": "no/where.tsv"}]}}, "no/where.tsv: no such file"),
        ({"measure": {"columns": [{"name": "QE", "path": "x"}]}}, "expected small letters"),
    ],
)
def test_what_is_missing_or_elsewhere_is_a_fault(document: dict[str, Any], fault: str) -> None:
    _, faults = checked(document)
    assert any(fault in line for line in faults), faults


def test_a_rule_of_a_column_that_nobody_has_is_a_fault(column: dict[str, Any]) -> None:
    judged = filter.Config.model_validate({"rules": {"columns": {"qa": {"min": 1}}}})
    [fault] = cross_faults({"measure": measure.Config.model_validate({"columns": [column]}), "filter": judged})
    assert fault.startswith("filter.rules.columns.qa: no [[measure.columns]] has this name")
    assert "qe" in fault
