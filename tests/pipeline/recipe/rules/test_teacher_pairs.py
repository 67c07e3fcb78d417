"""Pairs that a teacher is for and the corpus has not, or the other way about, told when the recipe is read."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from data.model_folder import load_teacher_info, save_teacher_info
from pipeline.recipe.cross_faults import cross_faults
from pipeline.recipe.rules.teacher_pairs import teacher_pair_faults
from stages.corpus import stage as corpus
from stages.pool import stage as pool
from stages.select import stage as select
from stages.student import stage as student
from stages.teacher import stage as teacher
from tests.pipeline.recipe.rules.test_datasets import SPECIALS, WORDS, folder
from tests.stages.student.test_student import dataset_table

FOLDER = {"kind": "ctranslate2", "path": "recipes/teachers/en-de"}
REFERENCE, CHRF = {"metric": "reference"}, {"metric": "chrf"}


def source(target: str, **options: Any) -> dict[str, Any]:
    return {"kind": "text", "name": target, "source_file": "a", "target_file": "b", "target_language": target} | options


def configs(
    *targets: str, learner: dict[str, Any] | None = None, chosen: dict[str, Any] = CHRF, **teachers: dict[str, Any]
) -> dict[str, Any]:
    sources = [source(target) for target in targets]
    texts = {
        "source_language": "en",
        "target_language": "de",
        "sources": sources,
        "test_sets": [source("no", name="t")],
    }
    return {
        "corpus": corpus.Config.model_validate(texts),
        **{node: teacher.Config.model_validate(FOLDER | given) for node, given in teachers.items()},
        "select": select.Config.model_validate(chosen),
        "student": student.Config.model_validate({"languages": {}} | (learner or {})),
    }


def faults(*targets: str, **options: Any) -> list[str]:
    return list(teacher_pair_faults(configs(*targets, **options)))


def of(*pairs: str, **options: Any) -> dict[str, Any]:
    return {"pairs": list(pairs), **options}


def test_a_pair_that_the_corpus_has_not_is_a_fault() -> None:
    (fault,) = faults("de", "sv", teacher=of("en-de", "en-se"))
    assert fault == (
        "teacher.pairs: 'en-se' is no language pair of the corpus; did you mean en-sv? (the corpus has en-de, en-no, "
        "en-sv)"
    )
    (fault,) = faults("de", "sv", teacher=of("en-de"), teacher_other=of("en-se"))
    assert fault.startswith("teachers.other.pairs: 'en-se' is no")
    (fault,) = faults("fi", teacher=of("en-de"), chosen=REFERENCE)
    assert fault.startswith("teacher.pairs: 'en-de' is no language pair of the corpus")
    # A test set alone, and a pair trained on in no direction but heard in one, are no mistake.
    assert faults("de", "sv", teacher=of("en-de", "en-sv", "en-no")) == []
    assert faults("de", "sv", teacher=of("en-de", "en-sv", "en-no", kind="train", path=None)) == []


@pytest.mark.parametrize(
    ("learner", "chosen", "count"),
    [
        ({}, CHRF, 1),
        ({"data": "nbest"}, {"metric": "mbr-chrf"}, 1),
        ({}, REFERENCE, 0),
        ({"data": {"hypothesis": 0.8, "reference": 0.2}}, CHRF, 0),
        ({"phases": [{"begin": 9, "data": "reference"}]}, CHRF, 0),
    ],
)
def test_a_pair_has_a_teacher_or_references_that_are_learned(
    learner: dict[str, Any], chosen: dict[str, Any], count: int
) -> None:
    found = faults("de", "sv", "fi", learner=learner, chosen=chosen, teacher=of("en-de"), teacher_b=of("en-sv"))
    assert len(found) == count
    assert all(line.startswith("teacher.pairs, teachers.b.pairs: no teacher is for en-fi, which") for line in found)
    assert faults("de", "sv", learner=learner, chosen=chosen, teacher=of("en-de"), teacher_b=of("en-sv")) == []
    assert faults("de", "sv", learner=learner, chosen=chosen, teacher=of("en-de"), teacher_b=of()) == []


def test_of_teachers_that_have_faults_of_their_own_nothing_is_said() -> None:
    several = configs("de", "sv", teacher=of("en-de"))
    assert len(list(teacher_pair_faults(several))) == 1
    assert list(teacher_pair_faults(several | {"pool": pool.Config(teachers=("teacher", "b"))})) == []


def test_what_a_folder_says_of_itself_counts(tmp_path: Path, tiny_teacher: Path) -> None:
    own = shutil.copytree(tiny_teacher, tmp_path / "own")
    save_teacher_info(own, load_teacher_info(own).model_copy(update={"pairs": ("en-de",)}))
    (fault,) = faults("fi", teacher={"path": str(own)}, chosen=REFERENCE)
    assert fault == "teacher.pairs: no teacher is for en-fi, which is all that the corpus has: nothing is distilled"
    (fault,) = faults("de", "fi", teacher={"path": str(own)})
    assert fault.startswith("teacher.pairs: no teacher is for en-fi, which the corpus has")
    assert faults("de", "fi", teacher={"path": str(own), "pairs": ["en-de", "en-fi"]}) == []


def test_a_teacher_that_is_trained_needs_references_of_its_pairs() -> None:
    trained = of("en-sv", kind="train", path=None)
    given = configs("de", "sv", teacher=trained, teacher_b=of("en-de"))
    assert list(teacher_pair_faults(given)) == []
    sources = [source("de"), source("sv", target_file=None)]
    texts = {"source_language": "en", "target_language": "de", "sources": sources}
    (fault,) = teacher_pair_faults(given | {"corpus": corpus.Config.model_validate(texts)})
    assert fault.startswith("teacher.pairs: no source of the corpus has references in en-sv, so there is nothing to")
    assert fault.endswith("it has them in en-de")
    assert list(teacher_pair_faults(given | {"teacher": teacher.Config.model_validate(FOLDER | of("en-sv"))})) == []


def test_pairs_of_further_datasets_are_known(tmp_path: Path) -> None:
    path = folder(tmp_path, dataset_table([*SPECIALS, *WORDS]), (("en", "sv"),))
    further = {"datasets": [{"name": "other", "path": path}]}
    assert faults("de", "sv", teacher=of("en-de"), learner=further) == []
    assert faults("de", teacher=of("en-de", "en-sv"), learner=further) == []
    nowhere = {"datasets": [{"name": "other", "path": str(tmp_path / "nowhere")}]}
    assert faults("de", teacher=of("en-de", "en-sv"), learner=nowhere) == []


def test_it_is_among_the_rules() -> None:
    assert [line for line in cross_faults(configs("de", teacher=of("de-en"))) if "is no language pair" in line]
