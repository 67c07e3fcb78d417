"""Differences, numbers and charts of the report, one by one."""

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluate.quality import two_sided
from stages.presentation import figures
from stages.report.charts import Dot, Line, Panel, line_chart, quality_speed_chart
from stages.report.differences import mark_differences
from stages.report.headline import headline

STUDENT: dict[str, Any] = {"model": {"width": 128, "heads": 4}, "optimiser": {"steps": 4000, "seed": 1}}


def marked(hypothesis: str, reference: str) -> list[str]:
    return [segment.text for segment in mark_differences(hypothesis, reference) if segment.differs]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        ("Das Licht einschalten", "Das Licht einschalten", []),
        ("Das rote Licht", "Das Licht", ["rote"]),
        ("ganz anders gesagt", "Das Licht", ["ganz anders gesagt"]),
        ("Licht Das", "Das Licht", ["Das"]),
        ("{name}: aus", "{name}: an", ["aus"]),
        ("打开灯光", "打开灯", ["光"]),
        ("เปิดไฟ", "เปิดไฟ", []),
        ("", "Das Licht", []),
        ("Das Licht", "", ["Das Licht"]),
    ],
)
def test_words_that_the_reference_lacks_are_marked(hypothesis: str, reference: str, expected: list[str]) -> None:
    assert marked(hypothesis, reference) == expected


@given(st.text(alphabet="ab .{}灯\n", max_size=30), st.text(alphabet="ab .{}灯\n", max_size=30))
def test_marking_changes_no_character(hypothesis: str, reference: str) -> None:
    assert "".join(segment.text for segment in mark_differences(hypothesis, reference)) == hypothesis
    assert marked(reference, reference) == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (figures.size(999), "999 B"),
        (figures.size(1_986_412), "2.0 MB"),
        (figures.parameters(1_528_832), "1.53 M"),
        (figures.parameters(8_128), "8,128"),
        (figures.share(1, 8), "12.5%"),
        (figures.share(1, 0), "–"),
        (figures.rate(521.3), "521"),
        (figures.rate(4.25), "4.25"),
        (figures.interval([54.44, 57.06]), "54.4–57.1"),
        (figures.interval([-1.25, 0.5], signed=True), "−1.2 to +0.5"),
        (figures.interval(None), ""),
        (figures.bounds(0.2, 5.0), "0.2 to 5"),
        (figures.bounds(-2.3125, None), "at least −2.31"),
        (figures.bounds(None, 0.0), "at most 0"),
        (figures.bounds(None, None), ""),
        (figures.signed(-0.31), "−0.3"),
        (figures.duration(4.2), "4.2 s"),
        (figures.duration(611), "10.2 min"),
        (figures.duration(7200), "2.0 h"),
        (figures.p_value(2 / 10_001, 10_000), "< 0.001"),
        (figures.p_value(0.0421, 1000), "0.042"),
        (figures.p_value(4 / 1001, 1000), "0.004"),
        (figures.p_value(two_sided([1.0] * 1000), 1000), "≤ 0.002"),
        (figures.p_value(two_sided([-1.0] * 150), 150), "≤ 0.014"),  # 0.01325: a bound is rounded up
        (figures.plural(1, "thread"), "1 thread"),
        (figures.plural(1000, "sentence"), "1,000 sentences"),
    ],
)
def test_numbers_are_written_as_people_read_them(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("difference", "interval", "expected"),
    [
        (2.3, [1.5, 3.1], "2.3 above that (95% interval 1.5 to 3.1)"),
        (-2.3, [-3.1, -1.5], "2.3 below that (95% interval 1.5 to 3.1)"),
        (0.4, [-0.6, 1.4], "0.4 above that (95% interval −0.6 to +1.4, so chance may explain it)"),
    ],
)
def test_the_headline_says_what_is_true_also_when_it_disappoints(
    difference: float, interval: list[float], expected: str
) -> None:
    sentence = headline_of_two(difference, interval, STUDENT)
    assert "Trained on the references alone, the same student reaches 50.0 chrF" in sentence
    assert expected in sentence


def test_the_headline_says_how_a_baseline_is_another_student() -> None:
    baseline = {"model": STUDENT["model"] | {"width": 64}, "optimiser": {"steps": 500, "seed": 2}}
    sentence = headline_of_two(1.0, [0.5, 1.5], baseline)
    assert "the same student, but for model.width, optimiser.steps and optimiser.seed, reaches 50.0 chrF" in sentence


def headline_of_two(difference: float, interval: list[float], baseline: dict[str, Any]) -> str:
    """What is said of the baseline, of this config, beside a student of that above."""
    system: dict[str, Any] = {"chrf": 50.0, "sentences_per_second": 100.0, "beam": 1}
    metrics = {
        "systems": {"teacher": system, "student": system, "baseline": system},
        "ratios": {"parameters_vs_teacher": 0.2, "chrf_vs_teacher": 1.0, "speedup_vs_teacher": 1.0},
        "settings": {"threads": 1},
        "comparisons": [
            {"system": "student", "against": "baseline", "chrf": {"difference": difference, "interval": interval}}
        ],
        "stages": {"student": {"config": STUDENT}, "baseline": {"config": baseline}},
    }
    return "".join(part.text for part in headline(metrics)[1])


def test_lines_are_drawn_to_scale_and_take_the_pages_colours() -> None:
    points = [(0, 10.0), (50, 5.0), (100, 0.0)]
    chart = line_chart("test", [Panel("Title", "step", [Line("student", "student", points)])], "About it")
    for drawing in (chart.wide, chart.narrow):
        [path] = re.findall(r'd="([^"]*)"[^>]*stroke: var\(--student\)', drawing)
        (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path)]
        assert x1 - x0 == pytest.approx(x2 - x1, rel=1e-3)
        assert x1 > x0
        assert y1 - y0 == pytest.approx(y2 - y1, rel=1e-3)
        assert y1 > y0  # SVG counts downwards
        assert "Title" in drawing
        assert not re.search(r"#0\d0\d0\d", drawing)


def test_long_curves_are_thinned_but_keep_their_end() -> None:
    points = [(step, 1.0 + step) for step in range(100_000)]
    chart = line_chart("long", [Panel("Title", "step", [Line("student", "student", points)])], "About it")
    assert len(chart.wide) < 30_000
    short = line_chart("long", [Panel("Title", "step", [Line("student", "student", points[::99_999])])], "About it")
    ends = [re.findall(r"L ([\d.]+ [\d.]+) \"[^>]*--student", one.wide)[-1] for one in (chart, short)]
    assert ends[0] == ends[1]


def test_systems_stand_where_quality_and_speed_put_them() -> None:
    dots = [
        Dot("teacher", "Teacher, beam 5", "beam 5", 40, 60, (59, 61)),
        Dot("student", "Student, greedy", "greedy", 400, 50, (49, 51)),
    ]
    chart = quality_speed_chart(dots, "chrF", "About it")
    found = {role: (float(x), float(y)) for x, y, role in _markers(chart.wide)}
    assert found["teacher"][0] < found["student"][0]
    assert found["teacher"][1] < found["student"][1]
    assert "Teacher, beam 5" in chart.wide
    assert "Teacher, beam 5" not in chart.narrow


def test_labels_of_systems_that_are_about_as_fast_do_not_meet() -> None:
    """Quality and speed of a demo whose student overtook its teacher at the other's beam."""
    dots = [
        Dot("teacher", "Teacher, beam 5", "beam 5", 564, 60.5, (58.3, 62.8)),
        Dot("student", "Student, greedy", "greedy", 5087, 59.1, (56.8, 61.4)),
        Dot("baseline", "Baseline, greedy", "greedy", 5032, 56.5, (54.2, 58.7)),
        Dot("teacher", "Teacher, greedy", "greedy", 1774, 59.5, (57.5, 61.4), filled=False),
        Dot("student", "Student, beam 5", "beam 5", 1592, 59.9, (57.4, 61.5), filled=False),
    ]
    chart = quality_speed_chart(dots, "chrF", "About it")
    for drawing, width in ((chart.wide, 95), (chart.narrow, 45)):
        places = _labels(drawing)
        assert len(places) == len(dots)
        for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
            assert abs(x - other_x) > width or abs(y - other_y) > 12


def _labels(drawing: str) -> list[tuple[float, float]]:
    found = re.findall(
        r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(?:[A-Z][a-z]+, )?(?:greedy|beam 5)</text>', drawing
    )
    return [(float(x), float(y)) for x, y in found]


def _markers(drawing: str) -> list[tuple[str, str, str]]:
    return re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*fill: var\(--(\w+)\)', drawing)
