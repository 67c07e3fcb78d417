"""What is wrong with a recipe of several language pairs is told when it is read."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from data.model_folder import load_teacher_info, save_teacher_info
from pipeline.recipe.cross_faults import cross_faults
from stages.corpus import stage as corpus
from stages.select import stage as select
from stages.student import stage as student
from stages.teacher import stage as teacher


def configs(
    *targets: str, learner: dict[str, Any] | None = None, metric: str = "reference", **given: Any
) -> dict[str, Any]:
    sources = [
        {"kind": "text", "name": target, "source_file": "a", "target_file": "b", "target_language": target}
        for target in targets
    ]
    texts = {"source_language": "en", "target_language": "de", "sources": sources, "valid_fraction": 0.1}
    return {
        "corpus": corpus.Config.model_validate(texts),
        "teacher": teacher.Config.model_validate({"kind": "train"} | given),
        "select": select.Config.model_validate({"metric": metric}),
        "student": student.Config.model_validate(learner or {}),
    }


def faults(*targets: str, **given: Any) -> list[str]:
    return [line for line in cross_faults(configs(*targets, **given)) if "languages" in line]


def test_one_pair_needs_nothing() -> None:
    assert faults("de") == []


def test_several_pairs_must_be_told_of() -> None:
    found = faults("de", "sv")
    assert [line.split(":")[0] for line in found] == ["student.languages", "teacher.languages"]
    assert all("en-de, en-sv" in line for line in found)
    assert faults("de", "sv", learner={"languages": {}}, languages={}) == []
    assert faults("de", "sv", learner={"languages": {"tags": "none"}}, pairs=["en-sv"]) == []


def test_a_pair_that_is_tested_alone_is_told_of_as_others_are() -> None:
    def found(tested: str, learner: dict[str, Any] | None = None, **given: Any) -> list[str]:
        several = configs("de", learner=learner, **given)
        test = {"kind": "text", "name": "test", "source_file": "a", "target_file": "b", "target_language": tested}
        texts = several["corpus"].model_dump() | {"test_sets": [test]}
        return cross_faults(several | {"corpus": corpus.Config.model_validate(texts)})

    untold = found("sv")
    assert [line.split(":")[0] for line in untold] == ["student.languages", "teacher.languages"]
    assert all("en-de, en-sv, test and valid sets included" in line for line in untold)
    assert found("de") == []
    assert found("sv", learner={"languages": {}}, pairs=["en-de"]) == []
    [fault] = found("sv", learner={"languages": {}}, **FOLDER)
    assert fault.startswith("teacher.pairs: required")


STOP = {"languages": {"stop_distilling": {"margin": 0.1}}}
LIKE = {"objective": {"features": [{}]}}
MIXED = {"data": {"hypothesis": 0.5, "reference": 0.5}}
LATER = {"data": "reference", "phases": [{"begin": 9, "data": "hypothesis", "objective": {}}]}


@pytest.mark.parametrize(
    ("learner", "given", "expected"),
    [
        (STOP | {"objective": {"soft_targets": {"weight": 0.0}}}, {}, "nothing to stop"),
        (STOP | {"optimiser": {"validate_every": 0}}, {}, "validate_every above 0"),
        (STOP, {"architecture": "decoder-only"}, "decoder-only teacher"),
        (
            STOP,
            {"metric": "chrf"},
            "hypotheses, all the more, from data = 'hypothesis' with select.metric = 'chrf'; set",
        ),
        (STOP | MIXED, {"metric": "mbr-chrf"}, "set select.metric to 'reference'"),
        (STOP | LATER, {"metric": "score"}, "set select.metric to 'reference'"),
        (STOP | LIKE | {"data": "nbest"}, {}, "data = 'nbest'"),
    ],
)
def test_a_switch_that_cannot_work_is_a_fault(learner: dict[str, Any], given: dict[str, Any], expected: str) -> None:
    found = faults("de", "sv", learner=learner, languages={}, **given)
    assert len(found) == 1 and found[0].startswith("student.languages.stop_distilling: ") and expected in found[0]


def test_a_switch_that_can_work_is_none() -> None:
    assert faults("de", "sv", learner=STOP, languages={}) == []
    assert faults("de", "sv", learner=STOP | LIKE | {"data": "reference"}, languages={}, metric="chrf") == []
    assert faults("de", "sv", learner={"languages": {}}, languages={}, metric="chrf") == []


FOLDER = {"kind": "ctranslate2", "path": "recipes/teachers/en-de"}


def test_a_teacher_of_one_pair_is_not_taken_for_all() -> None:
    several = {"targets": ("de", "sv"), "learner": {"languages": {}}}

    def found(**given: Any) -> list[str]:
        return cross_faults(configs(*several["targets"], learner=several["learner"], **given))  # type: ignore[arg-type]

    for given in (FOLDER, {"kind": "opennmt", "path": "a.pt", "target_prefix": ["<de>"]}):
        (fault,) = found(**given)
        assert fault.startswith("teacher.pairs: required, as the corpus has the language pairs en-de, en-sv")
    assert found(**FOLDER, pairs=["en-de"]) == []
    assert found(kind="opennmt", path="a.pt", target_prefix=["{target}"]) == []
    assert cross_faults(configs("de", **FOLDER)) == []


def test_a_folder_that_says_which_pairs_it_is_for_need_not_be_asked(tmp_path: Path, tiny_teacher: Path) -> None:
    folder = shutil.copytree(tiny_teacher, tmp_path / "own")
    given = {"kind": "ctranslate2", "path": str(folder)}
    learner = {"languages": {}}
    assert len(cross_faults(configs("de", "sv", learner=learner, **given))) == 1
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"pairs": ("en-de", "en-sv")}))
    assert cross_faults(configs("de", "sv", learner=learner, **given)) == []
