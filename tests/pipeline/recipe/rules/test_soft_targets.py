"""What score stores against what the student asks of it, told when the recipe is read."""

from typing import Any

import pytest

from pipeline.recipe.cross_faults import cross_faults
from stages.fuse import stage as fuse
from stages.score import stage as score
from stages.student import stage as student

SAMPLED = {"mode": "sampled"}


def faults(soft_targets: dict[str, Any], stored: dict[str, Any], **student_options: Any) -> list[str]:
    options = {"objective": {"soft_targets": soft_targets}, **student_options}
    configs = {"student": student.Config.model_validate(options), "score": score.Config.model_validate(stored)}
    return cross_faults(configs)


@pytest.mark.parametrize(
    ("soft_targets", "stored"),
    [
        ({}, {}),
        ({"temperature": 2}, {"temperatures": [2]}),
        ({"temperature": 2, "missing_mass": "gold"}, {"temperatures": [1.5, 2.0]}),
        ({"temperature": 2, "missing_mass": "renormalise"}, {}),
        ({"temperature": 2, "tempering": "buckets"}, {}),
        ({"temperature": 2, "weight": 0}, {}),
        ({"temperature": {"start": 1, "end": 2, "until": 9, "course": "step"}}, {"temperatures": [2]}),
        ({"temperature": {"start": 1, "end": 2, "until": 9}, "tempering": "buckets"}, {}),
        ({"weight": 1.0, "hardest": 0.5}, SAMPLED),
        ({"weight": 0, "missing_mass": "gold"}, SAMPLED),
    ],
)
def test_what_goes_together(soft_targets: dict[str, Any], stored: dict[str, Any]) -> None:
    assert faults(soft_targets, stored) == []


@pytest.mark.parametrize(
    ("soft_targets", "stored", "key", "advice"),
    [
        ({"temperature": 2}, {}, "temperature", "set score.temperatures to [2]"),
        ({"temperature": 2}, {"temperatures": [3]}, "temperature", "set score.temperatures to [2, 3]"),
        ({"temperature": 2, "missing_mass": "gold"}, {}, "temperature", "tempering to 'buckets'"),
        ({"temperature": {"start": 3, "end": 2, "until": 9, "course": "step"}}, {}, "temperature", "to [2, 3]"),
        ({"temperature": 2}, SAMPLED, "temperature", "estimates no other"),
        ({"missing_mass": "ghost"}, SAMPLED, "missing_mass", "take it out"),
        ({"tempering": "exact"}, SAMPLED, "tempering", "take it out"),
    ],
)
def test_what_does_not(soft_targets: dict[str, Any], stored: dict[str, Any], key: str, advice: str) -> None:
    (fault,) = faults(soft_targets, stored)
    assert fault.startswith(f"student.objective.soft_targets.{key}: ")
    assert advice in fault


def test_a_later_phase_is_named() -> None:
    later = {"begin": 5, "objective": {"soft_targets": {"temperature": 4}}}
    (fault,) = faults({}, {}, phases=[later])
    assert fault.startswith("student.phases[0].objective.soft_targets.temperature: 4 is exact only")
    assert faults({"temperature": 4}, {"temperatures": [4]}, phases=[{"begin": 5, "data": "reference"}]) == []


def test_a_schedule_of_more_temperatures_than_can_be_stored_is_a_fault_of_its_own() -> None:
    course = {"start": 1, "end": 2, "until": 9}
    with pytest.raises(ValueError, match="a linear schedule takes more values than can be stored"):
        faults({"temperature": course}, {})
    assert faults({"temperature": course, "missing_mass": "renormalise"}, {}) == []


@pytest.mark.parametrize("key", ["weight", "temperature", "hardest"])
@pytest.mark.parametrize("data", ["nbest", "reference"])
def test_soft_targets_of_other_data_are_a_fault(data: str, key: str) -> None:
    asked = {"data": data, "objective": {"soft_targets": {key: 0.5}}}
    with pytest.raises(ValueError, match=rf"soft_targets\.{key}: .* data = 'reference' or 'nbest' reads none"):
        student.Config.model_validate(asked)
    assert student.Config.model_validate(asked | {"data": {data: 0.5, "hypothesis": 0.5}})
    without = {"data": data, "objective": {"soft_targets": {key: 0.5, "weight": 0}}}
    assert student.Config.model_validate(without)


def test_where_teachers_are_fused_no_other_tail_is_asked_for() -> None:
    configs = {
        "student": student.Config.model_validate({"objective": {"soft_targets": {"temperature": 2}}}),
        "score": score.Config(),
        "fuse": fuse.Config(teachers=("teacher", "small")),
    }
    (fault,) = cross_faults(configs)
    assert "score.temperatures" not in fault and "set tempering to 'buckets'" in fault
