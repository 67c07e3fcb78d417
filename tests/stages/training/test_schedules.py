"""Schedules against values by hand."""

import pytest
from pydantic import TypeAdapter, ValidationError

from stages.training.schedules import NonNegative, Positive, Schedule, value_at


@pytest.mark.parametrize(
    ("course", "expected"),
    [
        ("linear", {1: 2.0, 10: 2.0, 11: 1.9, 15: 1.5, 19: 1.1, 20: 1.0, 500: 1.0}),
        ("cosine", {10: 2.0, 12: 2 - (1 - 0.8090169944) / 2, 15: 1.5, 20: 1.0}),
        ("step", {1: 2.0, 19: 2.0, 20: 1.0}),
    ],
)
def test_a_schedule_runs_from_start_to_end(course: str, expected: dict[int, float]) -> None:
    schedule = Schedule(start=2.0, end=1.0, course=course, begin=10, until=20)
    assert {step: value_at(schedule, step) for step in expected} == pytest.approx(expected)


def test_a_number_is_itself() -> None:
    assert value_at(0.3, 1) == value_at(0.3, 10_000) == 0.3


def test_both_ends_are_held_to_the_bounds() -> None:
    given = {"start": 1.0, "end": 0.0, "until": 5}
    assert TypeAdapter(NonNegative).validate_python(given) == Schedule(**given)
    for kind, value, fault in [
        (NonNegative, {**given, "end": -0.1}, "at least 0 in every step"),
        (NonNegative, -1, "at least 0"),
        (Positive, given, "greater than 0 in every step"),
        (Positive, {"start": 1, "end": 2, "begin": 7, "until": 7}, "until 7 must be larger than begin 7"),
    ]:
        with pytest.raises(ValidationError, match=fault):
            TypeAdapter(kind).validate_python(value)
