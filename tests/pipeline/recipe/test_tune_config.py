"""What a section [tune] may say, and what is wrong with it in words."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.recipe.sections import check_section
from pipeline.recipe.tune_config import Dimension, TuneConfig, direction_of

RATE = {"student.rate": {"low": 0.1, "high": 1.0, "log": True}}


def fault(**section: Any) -> str:
    """The faults of a section as a reader of recipes is told them."""
    return "\n".join(check_section(TuneConfig, {"space": RATE, **section}, "tune")[1])


@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        ({}, "expected either low and high, or choices, or variants"),
        ({"low": 1}, "expected either low and high, or choices, or variants"),
        ({"low": 1, "high": 2, "choices": [1, 2]}, "expected either low and high, or choices, or variants"),
        ({"choices": [1, 2], "log": True}, "log and step belong to low and high"),
        ({"low": 2, "high": 2}, "low 2 must be less than high 2"),
        ({"low": 0.0, "high": 2.0, "log": True}, "a logarithmic range must begin above 0 and has no step"),
        ({"low": 1.0, "high": 2.0, "log": True, "step": 0.1}, "a logarithmic range must begin above 0 and has no step"),
        ({"choices": [4]}, "at least 2 items"),
        ({"choices": [4, 4]}, "the same value twice among 4, 4"),
        ({"loww": 1}, "tune.space.student.rate.loww: unknown key; did you mean low?"),
    ],
)
def test_a_dimension_says_what_is_wrong_with_it(dimension: dict[str, Any], said: str) -> None:
    assert said in fault(space={"student.rate": dimension})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"space": {}}, "tune.space"),
        ({"space": {"rate": RATE["student.rate"]}}, "'rate' is no dotted key"),
        ({"space": {"run.retries": {"low": 1, "high": 2}}}, "'run.retries' changes no result; leave it out"),
        ({"space": {"size": {"variants": {"a": {"student.x": 1}, "b": {"x": 1}}}}}, "'x' is no dotted key"),
        ({"metric": "fluency"}, "tune.direction: whether more or less of 'fluency' is better cannot be told"),
        ({"watch": "valid_x"}, "tune.watch: 'valid_x' is no figure whose direction is known"),
        ({"sampler": "grid"}, "tune.sampler: 'grid' needs a step for every range, and student.rate has none"),
        ({"sampler": "tpee"}, "did you mean tpe?"),
    ],
)
def test_a_section_says_what_is_wrong_with_it(section: dict[str, Any], said: str) -> None:
    assert said in fault(**section)


def test_faults_of_several_kinds_are_told_together() -> None:
    said = fault(metric="fluency", sampler="grid", space={"rate": {"low": 0.1, "high": 1.0}})
    assert all(part in said for part in ("fluency", "'grid' needs", "'rate' is no dotted key"))


@pytest.mark.parametrize(
    ("figure", "direction"),
    [
        ("valid_cross_entropy", "minimise"),
        ("systems.student.chrf", "maximise"),
        ("valid_accuracy", "maximise"),
        ("ter", "minimise"),
        ("parameter", None),
    ],
)
def test_the_direction_of_known_figures_is_known(figure: str, direction: str | None) -> None:
    assert direction_of(figure) == direction


def test_validations_are_watched_for_the_metric_where_it_is_one_of_theirs() -> None:
    assert TuneConfig(space=RATE, metric="valid_accuracy").watched == "valid_accuracy"
    assert TuneConfig(space=RATE, metric="systems.student.chrf").watched == "valid_cross_entropy"
    assert TuneConfig(space=RATE, watch="valid_perplexity").watched == "valid_perplexity"


def test_whole_numbers_stay_whole_and_a_point_makes_a_range_continuous() -> None:
    assert Dimension(low=1, high=8).whole_numbers
    assert not Dimension(low=1, high=8.0).whole_numbers
    assert not Dimension(low=1, high=8, step=0.5).whole_numbers


def test_an_unknown_direction_can_be_said() -> None:
    assert TuneConfig(space=RATE, metric="fluency", direction="maximise").better == "maximise"
    with pytest.raises(ValidationError):
        TuneConfig(space=RATE, metric="fluency", direction="up")  # type: ignore[arg-type]
