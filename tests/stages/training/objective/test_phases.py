"""What holds in which step, against values by hand."""

from typing import Any

import pytest

from stages.training.objective.config import ObjectiveConfig, SoftTargetTerm
from stages.training.objective.loss import Objective
from stages.training.objective.phases import Course, Phase
from stages.training.schedules import Schedule

FIRST = ObjectiveConfig(soft_targets=SoftTargetTerm(weight=0.0))
SECOND = ObjectiveConfig(
    cross_entropy=Schedule(start=1.0, end=0.0, begin=10, until=20),
    soft_targets=SoftTargetTerm(weight=2.0, temperature=Schedule(start=4, end=1, course="step", until=16)),
)
COURSE = Course(
    [Phase(0, FIRST, {"reference": 1.0}), Phase(10, SECOND, {"hypothesis": Schedule(start=1, end=3, until=20)})], 0.1
)


def test_a_phase_holds_after_the_step_it_begins_with() -> None:
    assert [COURSE.phase(step).begin for step in (1, 10, 11, 1000)] == [0, 0, 10, 10]
    assert COURSE.shares(10) == {"reference": 1.0}
    assert COURSE.shares(15) == {"hypothesis": pytest.approx(2.5)}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (10, Objective(0.1, 1.0, 0.0, 1.0, "ghost")),
        (15, Objective(0.1, 0.5, 2.0, 4.0, "ghost")),
        (20, Objective(0.1, 0.0, 2.0, 1.0, "ghost")),
    ],
)
def test_schedules_are_filled_in(step: int, expected: Objective) -> None:
    assert COURSE.objective(step) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"missing_mass": "gold", "tempering": "buckets", "hardest": 0.5}, ("gold", "buckets", 0.5)),
        ({"missing_mass": "renormalise"}, ("renormalise", "exact", 1.0)),
    ],
)
def test_what_is_no_schedule_is_handed_over(options: dict[str, Any], expected: tuple[str, str, float]) -> None:
    config = ObjectiveConfig(soft_targets=SoftTargetTerm.model_validate(options | {"weight": 0.7, "temperature": 2.0}))
    assert Course([Phase(0, config, {})]).objective(1) == Objective(0.0, 1.0, 0.7, 2.0, *expected)
