import pytest

from pipeline.recipe.cross_faults import cross_faults
from stages.decode import stage as decode
from stages.evaluate import stage as evaluate
from stages.filter import stage as filter
from stages.pool import stage as pool
from stages.score import stage as score
from stages.teacher import stage as teacher


@pytest.mark.parametrize(
    ("kind", "backend", "count"), [("marian", "torch", 1), ("marian", "auto", 0), ("train", "torch", 0)]
)
def test_the_torch_backend_needs_a_checkpoint(kind: str, backend: str, count: int) -> None:
    given = teacher.Config.model_validate({"kind": kind, "path": None if kind == "train" else "model"})
    faults = cross_faults({"teacher": given, "score": score.Config.model_validate({"backend": backend})})
    assert len(faults) == count
    assert all(fault.startswith("score.backend: ") and repr(kind) in fault for fault in faults)


def test_an_attribution_is_of_one_teacher() -> None:
    asked = evaluate.Config(attribution=True)
    [fault] = cross_faults({"pool": pool.Config(teachers=("teacher", "small")), "evaluate": asked})
    assert fault.startswith("evaluate.attribution: ")
    assert cross_faults({"evaluate": asked}) == []
    assert cross_faults({"pool": pool.Config(teachers=("teacher", "small")), "evaluate": evaluate.Config()}) == []


def test_what_was_cut_off_must_not_pass_for_a_whole_target() -> None:
    search = decode.Config(max_decoding_length=100)
    [fault] = cross_faults({"decode": search, "filter": filter.Config()})
    assert fault.startswith("filter.rules.target_length.max: 250, and decode cuts a hypothesis off after")
    for rule in ({"max": 99}, {}):
        policy = filter.Config.model_validate({"rules": {"target_length": rule}})
        assert cross_faults({"decode": search, "filter": policy}) == []
    assert cross_faults({"decode": decode.Config(), "filter": filter.Config()}) == []


def test_sections_that_are_not_there_have_no_faults() -> None:
    assert cross_faults({}) == []
