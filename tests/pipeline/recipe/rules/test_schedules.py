"""Schedules that change nothing, told when the recipe is read; against the values of every step."""

import itertools
from typing import Any

import pytest

from pipeline.recipe.cross_faults import cross_faults
from stages.student import stage as student
from stages.training.schedules import Schedule, value_at

STEPS = {"optimiser": {"steps": 20}}


def found(**options: Any) -> list[str]:
    return cross_faults({"student": student.Config.model_validate(STEPS | options)})


def course(start: float, end: float, begin: int, until: int, kind: str = "linear") -> dict[str, Any]:
    return {"start": start, "end": end, "begin": begin, "until": until, "course": kind}


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.5), (2.0, 0.0), (0.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize(
    ("begin", "until"), [(0, 20), (0, 1), (0, 2), (19, 20), (19, 30), (20, 30), (18, 21), (40, 50)]
)
@pytest.mark.parametrize("kind", ["linear", "cosine", "step"])
def test_a_weight_that_stays_is_a_fault(start: float, end: float, begin: int, until: int, kind: str) -> None:
    weight = course(start, end, begin, until, kind)
    values = {value_at(Schedule.model_validate(weight), step) for step in range(1, 21)}
    idle = len(values) == 1 and (start != end or values == {0.0})
    faults = found(objective={"soft_targets": {"weight": weight}})
    assert len(faults) == idle
    assert all(
        fault.startswith(f"student.objective.soft_targets.weight: it is {min(values):g} in every step from 1 to 20")
        for fault in faults
    )


def test_every_number_of_a_recipe_is_looked_at() -> None:
    late = course(1.0, 2.0, 30, 40)
    terms = {"features": [{}, {"weight": late}], "relations": [{"weight": late}]}
    objective = {"cross_entropy": late, "soft_targets": {"temperature": late, "tempering": "buckets"}, **terms}
    faults = found(objective=objective, data={"hypothesis": 1.0, "reference": late})
    assert [fault.partition(": ")[0] for fault in faults] == [
        "student.data.reference",
        "student.objective.cross_entropy",
        "student.objective.soft_targets.temperature",
        "student.objective.features[1].weight",
        "student.objective.relations[0].weight",
    ]


def test_a_phase_has_the_steps_until_another_one_takes_its_place() -> None:
    """Steps count from the beginning of the training, so a schedule may be over before its phase begins."""
    early, later = course(1.0, 0.5, 0, 5), course(1.0, 0.5, 12, 15)
    phases = [{"begin": 5, "objective": {"cross_entropy": early}}, {"begin": 10, "data": "reference"}]
    assert [fault.partition(": ")[0] for fault in found(phases=phases)] == ["student.phases[0].objective.cross_entropy"]
    phases[0] = {"begin": 5, "objective": {"cross_entropy": later}}
    assert found(phases=phases) == []
    phases[1] = {"begin": 10, "objective": {}}
    (fault,) = found(phases=phases)
    assert "it is 1 in every step from 6 to 10" in fault


CHANGING = [course(0.0, 1.0, 0, 12), course(0.0, 1.0, 3, 9, "step"), course(1.0, 0.0, 4, 9), course(1.0, 0.0, 0, 20)]


@pytest.mark.parametrize(("weight", "share"), itertools.product(CHANGING, [0.0, 1.0, *CHANGING]))
def test_soft_targets_weigh_something_where_there_are_some(weight: dict[str, Any], share: Any) -> None:
    data = {"hypothesis": share, "reference": 1.0}
    options = {"data": data, "phases": [{"begin": 15, "data": "hypothesis"}]}
    until = [{"begin": 15, "data": "reference"}]
    objective = {"cross_entropy": 1.0, "soft_targets": {"weight": weight}}

    def heard(step: int, held: Any) -> bool:
        values = [value_at(Schedule.model_validate(each) if isinstance(each, dict) else each, step) for each in held]
        return all(values)

    first = any(heard(step, (weight, share)) for step in range(1, 16))
    last = any(heard(step, (weight, 1.0)) for step in range(16, 21))
    assert len(found(objective=objective, **options)) == (not (first or last))
    if share:
        assert len(found(objective=objective, **(options | {"phases": until}))) == (not first)
