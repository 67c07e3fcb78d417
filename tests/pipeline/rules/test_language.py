"""What is wrong with a recipe of several language pairs is told when it is read."""

from typing import Any

import pytest

from pipeline.cross_faults import cross_faults
from stages import corpus, student, teacher


def configs(*targets: str, learner: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    sources = [
        {"kind": "text", "name": target, "source_file": "a", "target_file": "b", "target_language": target}
        for target in targets
    ]
    texts = {"source_language": "en", "target_language": "de", "sources": sources, "valid_fraction": 0.1}
    return {
        "corpus": corpus.Config.model_validate(texts),
        "teacher": teacher.Config.model_validate({"kind": "train"} | given),
        "student": student.Config.model_validate(learner or {}),
    }


def faults(*targets: str, learner: dict[str, Any] | None = None, **given: Any) -> list[str]:
    return [line for line in cross_faults(configs(*targets, learner=learner, **given)) if "languages" in line]


def test_one_pair_needs_nothing() -> None:
    assert faults("de") == []


def test_several_pairs_must_be_told_of() -> None:
    found = faults("de", "sv")
    assert [line.split(":")[0] for line in found] == ["student.languages", "teacher.languages"]
    assert all("en-de, en-sv" in line for line in found)
    assert faults("de", "sv", learner={"languages": {}}, languages={}) == []
    assert faults("de", "sv", learner={"languages": {"tags": "none"}}, pairs=["en-sv"]) == []


STOP = {"languages": {"stop_distilling": {"margin": 0.1}}}


@pytest.mark.parametrize(
    ("learner", "given", "expected"),
    [
        (STOP | {"objective": {"soft_targets": {"weight": 0.0}}}, {}, "nothing to stop"),
        (STOP | {"optimiser": {"validate_every": 0}}, {}, "validate_every above 0"),
        (STOP, {"architecture": "decoder-only"}, "decoder-only teacher"),
    ],
)
def test_a_switch_that_cannot_work_is_a_fault(learner: dict[str, Any], given: dict[str, Any], expected: str) -> None:
    found = faults("de", "sv", learner=learner, languages={}, **given)
    assert len(found) == 1 and found[0].startswith("student.languages.stop_distilling: ") and expected in found[0]


def test_a_switch_that_can_work_is_none() -> None:
    assert faults("de", "sv", learner=STOP, languages={}) == []
