"""Contenders take turns until the figure stands; one that never does is no figure."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bench.records import run_suite
from bench.turns import MOST, STEADY, Turns, UnsteadyError, by_turns, processor_seconds, relative_error, until_steady


def test_contenders_take_turns_and_may_measure_themselves() -> None:
    told: list[str] = []

    def ours() -> None:
        told.append("ours")

    def theirs() -> float:
        told.append("theirs")
        return 7.5

    turns = by_turns({"ours": ours, "theirs": theirs}, rounds=1)
    assert told == ["ours", "theirs"]
    assert turns.clock["theirs"] == [7.5]
    assert 0 <= turns.clock["ours"][0] < 1


def played(*values: float) -> Any:
    waiting: Iterator[float] = iter(values)
    return lambda: next(waiting)


def test_a_machine_that_slows_down_slows_all_and_the_ratio_stands() -> None:
    drift = [1.0, 1.5, 2.0, 3.0, 2.5]
    turns = by_turns({"ours": played(*drift), "theirs": played(*(2 * each for each in drift))}, rounds=5)
    assert len(turns.clock["ours"]) == 5
    assert turns.ratio("theirs", "ours") == 2
    assert turns.detail()["spread"] == {"theirs": 0.0}


def test_a_figure_that_does_not_stand_yet_gets_more_rounds() -> None:
    values = [1.0, 1.3, 1.1, *[1.1] * 6]
    turns = by_turns({"ours": played(*[1.0] * 9), "theirs": played(*values)}, rounds=3)
    assert 3 < len(turns.clock["theirs"]) < 9
    assert turns.worst()[1] <= STEADY


def test_one_that_never_stands_is_told_and_not_written(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(quick: bool, folder: Any) -> Any:
        values = [1.0, 9.0] * 9
        return by_turns({"ours": played(*[1.0] * 18), "theirs": played(*values)}, rounds=3)

    with pytest.raises(UnsteadyError, match=f"theirs: after {3 * MOST} rounds its ratio is still uncertain by"):
        measure(False, None)
    monkeypatch.setattr("bench.records.become_worker", lambda module: None)
    monkeypatch.setattr("bench.records.save", lambda *given: pytest.fail("it was written"))
    monkeypatch.setattr(sys, "argv", ["bench"])
    with pytest.raises(SystemExit, match="nothing was written"):
        run_suite("decode", None, measure)


def test_a_figure_of_its_own_is_measured_until_it_stands() -> None:
    assert until_steady("x", played(5.0, 5.0, 5.0), 3) == [5.0] * 3
    with pytest.raises(UnsteadyError, match="x: after 6 rounds"):
        until_steady("x", played(*[1.0, 9.0] * 3), 2)


def test_the_error_is_that_of_a_median_of_normal_values() -> None:
    random = np.random.default_rng(1)
    draws = random.normal(10.0, 1.0, (4000, 41))
    found = np.mean([relative_error(list(row)) for row in draws])
    assert found == pytest.approx(np.median(draws, axis=1).std() / 10, rel=0.1)


def test_seconds_of_the_processor_count_processes_that_have_ended() -> None:
    before = processor_seconds()
    subprocess.run([sys.executable, "-c", "sum(n * n for n in range(3_000_000))"], check=True)
    assert processor_seconds() - before > 0.05


def test_turns_of_one_contender_have_its_own_spread() -> None:
    assert Turns({"ours": [1.0, 1.0, 1.0]}).worst() == ("ours", 0.0)
