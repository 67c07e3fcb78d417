"""Lines of training.jsonl against sums by hand."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from data.runtime import silent
from stages.training.curves import timed_lines
from stages.training.journal import Journal
from stages.training.sums import Sum


def sums_of(positions: int, loss: float = 1.0, **others: float) -> dict[str, Sum]:
    """What a step always has, and more."""
    values = {"loss": loss, "cross_entropy": 1.0, "correct": 1.0} | others
    return {name: Sum(torch.tensor(value), positions) for name, value in values.items()}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_means_since_the_line_before(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    journal = Journal(path, 5, 2, silent)
    journal.begin()
    for step in range(1, 6):
        sums = {"loss": 2.0, "cross_entropy": 1.0, "divergence": 0.5, "correct": 4.0, "features": 3.0}
        journal.trained(step, 0.1 * step, sums_of(10 * step, **{name: step * each for name, each in sums.items()}))
    assert [(line["step"], line["tokens"]) for line in lines(path)] == [(2, 30), (4, 100), (5, 150)]
    second = lines(path)[1]
    assert second["loss"] == pytest.approx(14 / 70)
    assert second["cross_entropy"] == pytest.approx(7 / 70)
    assert second["divergence"] == pytest.approx(3.5 / 70)
    assert second["accuracy"] == pytest.approx(28 / 70)
    assert second["features"] == pytest.approx(21 / 70)
    assert second["learning_rate"] == pytest.approx(0.4)


def test_what_was_not_everywhere_is_a_mean_over_where_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "t.jsonl", 6, 3, silent)
    journal.begin()
    with_teacher = sums_of(40, loss=80.0) | {
        "divergence": Sum(torch.tensor(20.0), 40),
        "features": Sum(torch.tensor(6.0), 12),
    }
    for step, sums in enumerate([with_teacher, sums_of(60, loss=60.0), with_teacher, *[sums_of(60)] * 3], 1):
        journal.trained(step, 0.1, sums)
    mixed, without = lines(tmp_path / "t.jsonl")
    assert (mixed["loss"], mixed["divergence"], mixed["features"]) == pytest.approx((220 / 140, 0.5, 0.5))
    assert mixed["tokens"] == 140 and mixed["cross_entropy"] == pytest.approx(3 / 140, rel=1e-4)
    assert "loss" in without and not {"divergence", "features"} & without.keys()


def test_a_resumed_journal_drops_later_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text('{"step": 2, "loss": 1.0}\n{"step": 4, "loss": 1.0}\n{"step": 4, "valid')
    journal = Journal(path, 5, 2, silent)
    clocks = {"seconds": 100.0, "cpu_seconds": 5.0, "validating": 0.0, "seconds_of_sums": 0.0}
    journal.begin(3, {"tokens": 70, "sums": {}, "validated_at": -1}, clocks)
    assert [line["step"] for line in lines(path)] == [2]
    journal.trained(4, 0.1, sums_of(30))
    assert lines(path)[-1]["tokens"] == 100
    assert timed_lines(tmp_path)[-1]["seconds"] >= 100


def test_a_validation_that_the_state_does_not_know_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    journal = Journal(path, 5, 2, silent)
    journal.begin()
    journal.trained(2, 0.1, sums_of(30))
    state, clocks = journal.state(), journal.clocks()
    journal.validated(2, sums_of(20))
    for known, wanted in ((state, [True]), (journal.state(), [True, False])):
        shutil.copytree(tmp_path, tmp_path / str(len(wanted)), ignore=shutil.ignore_patterns("[0-9]"))
        resumed = Journal(tmp_path / str(len(wanted)) / "training.jsonl", 5, 2, silent)
        resumed.begin(2, known, clocks)
        for name in ("training.jsonl", "timings.jsonl"):
            found = lines(tmp_path / str(len(wanted)) / name)
            assert ["loss" in line or "tokens_per_second" in line for line in found] == wanted
        assert resumed.validated_at == (2 if len(wanted) == 2 else -1)


def test_a_figure_that_is_no_number_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "training.jsonl"
    journal = Journal(path, 1, 1, silent)
    journal.begin()
    journal.trained(1, 0.1, sums_of(30) | {"features": Sum(torch.tensor(math.nan), 3)})
    assert "loss" in lines(path)[0] and "features" not in lines(path)[0]
    assert "features is no number" in caplog.text


def test_a_resumed_journal_knows_what_was_in_no_line_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    journal = Journal(tmp_path / "training.jsonl", 100, 3, silent)
    journal.begin()
    for step in (1, 2):
        journal.trained(step, 0.1, sums_of(10 * step, loss=float(step)))
    now = 1004.0
    state, clocks = journal.state(), journal.clocks()
    now = 2000.0
    resumed = Journal(tmp_path / "training.jsonl", 100, 3, silent)
    resumed.begin(2, state, clocks)
    now = 2001.0
    resumed.trained(3, 0.1, sums_of(30, loss=3.0))
    (line,) = timed_lines(tmp_path)
    assert (line["loss"], line["tokens"], line["seconds"]) == (pytest.approx(6 / 60), 60, 5.0)
    assert line["tokens_per_second"] == pytest.approx(60 / 5)


def test_progress_is_told_between_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, set[str]]] = []
    journal = Journal(tmp_path / "t.jsonl", 100, 50, lambda done, total, extras: told.append((done, set(extras))))
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    journal.begin()
    for step in range(1, 61):
        now += 0.4
        journal.trained(step, 0.1, sums_of(10))
    assert [done for done, _ in told][:3] == [3, 6, 9]
    assert (50, {"tokens_per_second", "loss", "perplexity"}) in told
    assert told[0][1] == {"tokens_per_second"}
    assert len(lines(tmp_path / "t.jsonl")) == 1


def test_a_validation_of_no_token_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []
    journal = Journal(tmp_path / "t.jsonl", 100, 50, silent, lambda step, figures: told.append(step))
    journal.begin()
    journal.validated(5, {})
    journal.validated(10, {})
    assert (lines(tmp_path / "t.jsonl"), journal.last_valid, told, journal.validated_at) == ([], {}, [], 10)
    (record,) = caplog.records
    assert "t.jsonl has no valid_* figures" in record.getMessage() and record.levelname == "WARNING"


def test_every_validation_is_told_with_the_figures_of_its_line(tmp_path: Path) -> None:
    told: list[tuple[int, dict[str, float]]] = []
    path = tmp_path / "t.jsonl"
    journal = Journal(path, 100, 50, silent, lambda step, figures: told.append((step, dict(figures))))
    journal.begin()
    for step, total in ((20, 30.0), (40, 10.0)):
        journal.validated(step, sums_of(20, cross_entropy=total, correct=5.0))
    assert [(step, figures["valid_cross_entropy"]) for step, figures in told] == [(20, 1.5), (40, 0.5)]
    assert [figures["valid_accuracy"] for _, figures in told] == [0.25, 0.25]
    assert [line["valid_cross_entropy"] for line in lines(path)] == [1.5, 0.5]
