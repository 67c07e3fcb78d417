"""What the page says of trainings: which weights ship, in words and in the chart."""

from typing import Any

import pytest

from stages.report.page import _training
from stages.report.trainings import training_fact

CURVE = [
    *({"step": step, "loss": 1.0, "cross_entropy": 4 - step / 20} for step in (10, 20, 30)),
    *({"step": step, "valid_perplexity": 9.0 - step / 10, "valid_chrf": 10.0 + step} for step in (10, 20, 30)),
]


def trained(**validation: Any) -> dict[str, Any]:
    return {"steps": 30, "rows": 7, "timing": {"seconds": 60.0}, "validation": {"rows": 3, "of": 3} | validation}


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([20], "Its weights are of step 20; its best validation (chrf 30.12) was after step 20."),
        ([10, 20], "Its weights are the mean of those of steps 10, 20; its best"),
    ],
)
def test_it_says_which_weights_ship(steps: list[int], words: str) -> None:
    told = trained(metric="chrf", best=30.123, best_step=20, shipped_steps=steps)
    assert words in training_fact("student", told)
    plain = training_fact("student", trained())
    assert plain.startswith("The student was trained for 30 steps on 7 rows in ") and "Its weights" not in plain
    assert "30 steps on 7 rows, 2.5 times through, in " in training_fact("student", trained() | {"epochs": 2.5})


def test_the_curves_mark_them(monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[Any] = []
    monkeypatch.setattr("stages.report.page.line_chart", lambda name, given, text: panels.extend(given))
    told = trained(metric="chrf", best=30.0, best_step=20, shipped_steps=[20])
    stages = {"student": {"config": {"data": "hypothesis"}}}
    found = _training({"student": CURVE}, {"training": {"student": told}, "stages": stages})
    assert "Its weights are of step 20" in found["training_text"]
    assert [panel.title for panel in panels][1:] == ["Perplexity on the validation set", "chrF on the validation set"]
    assert [list(panel.lines[0].marked) for panel in panels] == [[], [20], [20]]
