"""The report's section on where quality goes: sentences and rows by hand, the page by an HTML parser."""

import re
from pathlib import Path
from typing import Any

import pytest

from stages.report.attribution import attribution_section, summary
from stages.report.charts import Level, level_chart
from stages.report.facts import gather_metrics
from stages.report.page import ExampleRule, render_page
from tests.fixtures.made_up_run import evaluation, made_up_run
from tests.stages.report.test_report import Page


def step(name: str, chrf: float, bleu: float, change: tuple[float, float] | None) -> dict[str, Any]:
    compared = None
    if change:
        compared = {
            key: {"difference": value, "interval": [value - 0.5, value + 0.25], "p_value": 0.25}
            for key, value in zip(("chrf", "bleu"), change, strict=True)
        }
    scores = {"chrf": chrf, "chrf_interval": [chrf - 1, chrf + 1], "bleu": bleu, "bleu_interval": [bleu - 2, bleu + 2]}
    return {"name": name, **scores, "change": compared}


STEPS = [
    step("teacher", 59.7, 36.1, None),
    step("selected", 64.0, 41.0, (4.3, 4.9)),
    step("student_float32", 56.0, 31.5, (-8.0, -9.5)),
    step("student", 55.8, 31.2, (-0.2, -0.3)),
]
ATTRIBUTION = {"metric": "chrf", "hypotheses": 5, "beam": 6, "steps": STEPS}


def test_the_way_is_told_in_a_sentence() -> None:
    assert summary(STEPS) == (
        "From the teacher’s 59.7 chrF to the student’s 55.8: choosing among hypotheses +4.3, learning −8.0 and "
        "rounding weights −0.2."
    )
    assert summary([STEPS[0], STEPS[2]]) == "From the teacher’s 59.7 chrF to the student’s 56.0: learning −8.0."


def test_without_attribution_there_is_no_section(tmp_path: Path) -> None:
    assert attribution_section(evaluation()) == {"attribution": []}
    page = Page(render_page(gather_metrics(made_up_run(tmp_path)), {}, [], ExampleRule(0, 1, 1), ""))
    assert "Where quality goes" not in page.text


def test_the_page_shows_every_step(tmp_path: Path) -> None:
    metrics = gather_metrics(made_up_run(tmp_path)) | {"attribution": ATTRIBUTION}
    page = Page(render_page(metrics, {}, [], ExampleRule(0, 1, 1), ""))
    assert ("section", {"id": "attribution"}) in page.elements
    for words in (
        "Where quality goes From the teacher’s 59.7 chrF",
        "Teacher, beam 5",
        "Selected hypothesesbest of 5 (beam 6) by chrF to the reference: what the student is taught, not what a system",
        "Student in float32, greedy",
        "Student in int8, greedy",
        "−8.0−8.5 to −7.8",
        "0.250",
    ):
        assert words in page.text


@pytest.mark.parametrize(("metric", "sees"), [("score", False), ("bleu", True), ("mbr-chrf", False)])
def test_only_a_choice_by_the_reference_is_out_of_reach(metric: str, sees: bool) -> None:
    rows = attribution_section(evaluation() | {"attribution": {**ATTRIBUTION, "metric": metric}})["attribution"]
    assert ("not what a system could know" in rows[1]["note"]) is sees
    assert [bool(row["note"]) for row in rows] == [row["aside"] for row in rows] == [False, True, False, False]


def test_levels_stand_where_their_values_put_them() -> None:
    levels = [
        Level("teacher", "Teacher, beam 5", "Teacher", 60, (59, 61)),
        Level("student", "Student in float32", "float32", 50, (49, 51)),
        Level("student", "Student in int8", "int8", 52, (51, 53)),
    ]
    chart = level_chart(levels, "chrF", "About it")
    dots = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*fill: var\(--(\w+)\)', chart.wide)
    teacher, exact, rounded = [(float(x), float(y)) for x, y, role in dots if role in ("teacher", "student")]
    assert exact[0] < rounded[0] < teacher[0]
    assert (rounded[0] - exact[0]) / (teacher[0] - exact[0]) == pytest.approx(0.2, abs=1e-3)
    assert teacher[1] < exact[1] < rounded[1]  # SVG counts downwards
    assert "\N{MINUS SIGN}10.0" in chart.wide
    assert "+2.0" in chart.wide
    assert "Student in int8" in chart.wide
    assert "Student in int8" not in chart.narrow
    assert not re.search(r"#0\d0\d0\d", chart.wide)
