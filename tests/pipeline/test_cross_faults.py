import pytest
from pydantic import BaseModel

from pipeline.cross_faults import cross_faults
from stages import score, student


class Teacher(BaseModel):
    kind: str


@pytest.mark.parametrize(
    ("kind", "backend", "count"), [("marian", "torch", 1), ("marian", "auto", 0), ("train", "torch", 0)]
)
def test_the_torch_backend_needs_a_checkpoint(kind: str, backend: str, count: int) -> None:
    faults = cross_faults({"teacher": Teacher(kind=kind), "score": score.Config.model_validate({"backend": backend})})
    assert len(faults) == count
    assert all(fault.startswith("score.backend: ") and repr(kind) in fault for fault in faults)


@pytest.mark.parametrize(
    ("conditioning", "weight", "count"), [("reference", 0.5, 1), ("reference", 0.0, 0), ("hypothesis", 0.5, 0)]
)
def test_soft_targets_of_references_do_not_fit_a_student_of_hypotheses(
    conditioning: str, weight: float, count: int
) -> None:
    configs: dict[str, BaseModel] = {
        "score": score.Config.model_validate({"conditioning": conditioning}),
        "student": student.Config(soft_target_weight=weight),
    }
    assert [fault.split(":")[0] for fault in cross_faults(configs)] == ["score.conditioning"] * count


def test_sections_that_are_not_there_have_no_faults() -> None:
    assert cross_faults({}) == []
