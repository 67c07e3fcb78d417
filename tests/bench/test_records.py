"""Figures: they carry their circumstances, and contenders take turns."""

import json
from pathlib import Path

from bench.records import median, record, save, side_by_side


def test_contenders_take_turns_and_may_measure_themselves() -> None:
    turns: list[str] = []

    def ours() -> None:
        turns.append("ours")

    def theirs() -> float:
        turns.append("theirs")
        return 7.5

    seconds = side_by_side({"ours": ours, "theirs": theirs}, rounds=3)
    assert turns == ["ours", "theirs"] * 3
    assert seconds["theirs"] == [7.5] * 3
    assert len(seconds["ours"]) == 3
    assert 0 <= median(seconds["ours"]) < 1


def test_a_record_names_machine_versions_and_day(tmp_path: Path) -> None:
    figures = [record(name, 2.0, "ratio", threads=2, packages=["numpy"]) for name in ("b", "a")]
    saved = json.loads(save("suite", figures, tmp_path).read_text())
    assert [one["name"] for one in saved] == ["a", "b"]
    assert {"numpy", "python"} == set(saved[0]["versions"])
    assert "cores" in saved[0]["hardware"]
    assert len(saved[0]["date"]) == 10
