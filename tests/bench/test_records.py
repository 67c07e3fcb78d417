"""Figures: they carry their circumstances, and contenders take turns."""

import json
from pathlib import Path

from bench.records import read_records, record, save


def test_a_record_names_machine_versions_and_day(tmp_path: Path) -> None:
    figures = [record(name, 2.0, "ratio", threads=2, packages=["numpy"]) for name in ("b", "a")]
    saved = json.loads(save("suite", figures, tmp_path).read_text())
    assert [one["name"] for one in saved] == ["a", "b"]
    assert {"numpy", "python"} == set(saved[0]["versions"])
    assert "cores" in saved[0]["hardware"]
    assert len(saved[0]["date"]) == 10


def test_another_machines_records_stay_and_this_ones_are_replaced(tmp_path: Path) -> None:
    mine = [record(name, 1.0, "ratio", threads=2, packages=[]) for name in ("a", "b")]
    theirs = [one.model_copy(update={"hardware": "Abacus, 1 core"}) for one in mine]
    save("suite", theirs, tmp_path)
    save("suite", mine, tmp_path)
    save("suite", [mine[0].model_copy(update={"value": 3.0})], tmp_path)
    found = [(one.hardware, one.name, one.value) for one in read_records("suite", tmp_path)]
    assert sorted(found) == sorted(
        [("Abacus, 1 core", "a", 1.0), ("Abacus, 1 core", "b", 1.0), (mine[0].hardware, "a", 3.0)]
    )
