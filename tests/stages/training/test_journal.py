"""Lines of training.jsonl against sums by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data.runtime import silent
from stages.training.journal import Journal


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_means_over_tokens_since_the_line_before(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    journal = Journal(path, 5, 2, silent)
    journal.begin(0, 0, 0.0)
    for step in range(1, 6):
        sums = {"loss": 2.0, "cross_entropy": 1.0, "divergence": 0.5, "correct": 4.0, "features": 3.0}
        journal.trained(step, 0.1 * step, 10 * step, {name: torch.tensor(step * each) for name, each in sums.items()})
    assert [(line["step"], line["tokens"]) for line in lines(path)] == [(2, 30), (4, 100), (5, 150)]
    second = lines(path)[1]
    assert second["loss"] == pytest.approx(14 / 70)
    assert second["cross_entropy"] == pytest.approx(7 / 70)
    assert second["divergence"] == pytest.approx(3.5 / 70)
    assert second["accuracy"] == pytest.approx(28 / 70)
    assert second["features"] == pytest.approx(21 / 70)
    assert second["learning_rate"] == pytest.approx(0.4)


def test_a_resumed_journal_drops_later_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text('{"step": 2, "loss": 1.0}\n{"step": 4, "loss": 1.0}\n{"step": 4, "valid')
    journal = Journal(path, 5, 2, silent)
    journal.begin(3, 70, 100.0)
    assert [line["step"] for line in lines(path)] == [2]
    journal.trained(4, 0.1, 30, {"loss": torch.ones(())})
    assert lines(path)[-1]["tokens"] == 100
    assert lines(path)[-1]["seconds"] >= 100


def test_progress_is_told_between_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, set[str]]] = []
    journal = Journal(tmp_path / "t.jsonl", 100, 50, lambda done, total, extras: told.append((done, set(extras))))
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    journal.begin(0, 0, 0.0)
    for step in range(1, 61):
        now += 0.4
        journal.trained(step, 0.1, 10, {"loss": torch.ones(())})
    assert [done for done, _ in told][:3] == [3, 6, 9]
    assert (50, {"tokens_per_second", "loss", "perplexity"}) in told
    assert told[0][1] == {"tokens_per_second"}
    assert len(lines(tmp_path / "t.jsonl")) == 1


def test_every_validation_is_told_with_the_figures_of_its_line(tmp_path: Path) -> None:
    told: list[tuple[int, dict[str, float]]] = []
    path = tmp_path / "t.jsonl"
    journal = Journal(path, 100, 50, silent, lambda step, figures: told.append((step, dict(figures))))
    journal.begin(0, 0, 0.0)
    for step, total in ((20, 30.0), (40, 10.0)):
        journal.validated(step, 20, {"cross_entropy": torch.tensor(total), "correct": torch.tensor(5.0)})
    assert [(step, figures["valid_cross_entropy"]) for step, figures in told] == [(20, 1.5), (40, 0.5)]
    assert [figures["valid_accuracy"] for _, figures in told] == [0.25, 0.25]
    assert [line["valid_cross_entropy"] for line in lines(path)] == [1.5, 0.5]
