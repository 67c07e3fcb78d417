"""Draws from an n-best that cannot mean what the recipe says, told when it is read."""

from typing import Any

import pytest

from pipeline.recipe.cross_faults import cross_faults
from stages.decode import stage as decode
from stages.select import stage as select
from stages.student import stage as student

UTILITY = {"weights": "utility", "temperature": 10}


@pytest.mark.parametrize(("data", "count"), [("nbest", 1), ({"nbest": 0.5, "reference": 0.5}, 1), ("hypothesis", 0)])
def test_an_nbest_of_one_is_a_fault(data: Any, count: int) -> None:
    learner = student.Config.model_validate({"data": data})
    found = cross_faults({"student": learner, "decode": decode.Config(num_hypotheses=1)})
    assert len(found) == count
    assert all("decode.num_hypotheses is 1" in fault for fault in found)


@pytest.mark.parametrize(
    ("chosen", "fault"),
    [
        ({"metric": "mbr-chrf"}, ""),
        ({"metric": "chrf"}, ""),
        ({"metric": "mbr-chrf", "fallback": "score"}, ""),
        ({"metric": "score"}, "the utility is the score"),
        ({"metric": "chrf", "fallback": "score"}, "no temperature fits both"),
        ({"metric": "reference", "fallback": "score"}, "no temperature fits both"),
    ],
)
def test_a_utility_must_be_one(chosen: dict[str, Any], fault: str) -> None:
    selection = select.Config.model_validate(chosen)

    def found(nbest: dict[str, Any]) -> list[str]:
        learner = student.Config.model_validate({"data": "nbest", "nbest": nbest})
        return cross_faults({"student": learner, "select": selection})

    assert [(line.split(": ")[0], fault in line) for line in found(UTILITY)] == (
        [("student.nbest.weights", True)] if fault else []
    )
    assert found({"weights": "score"}) == []


def test_draws_that_no_phase_makes_are_a_fault() -> None:
    (fault,) = cross_faults({"student": student.Config.model_validate({"nbest": {"count": 3}})})
    assert fault.startswith("student.nbest: no phase has data = 'nbest'")
    later = {"nbest": {"count": 3}, "phases": [{"begin": 5, "data": {"nbest": 1, "hypothesis": 1}}]}
    assert cross_faults({"student": student.Config.model_validate(later)}) == []
