"""Terms that need a teacher in memory, told when the recipe is read and not when the student trains."""

from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.recipe.cross_faults import cross_faults
from stages.student import stage as student
from stages.teacher import stage as teacher

TERMS: dict[str, Any] = {
    "features": "feature distillation",
    "attention": "attention distillation",
    "relations": "relation distillation",
    "sentences": "distillation of relations between sentences",
    "contrastive": "contrastive distillation",
}


def recipe(kind: str, **options: Any) -> dict[str, BaseModel]:
    path = {} if kind == "train" else {"path": "somewhere"}
    return {
        "teacher": teacher.Config.model_validate({"kind": kind, **path, **options.pop("teacher", {})}),
        "student": student.Config.model_validate(options),
    }


@pytest.mark.parametrize("section", list(TERMS))
def test_each_term_needs_a_pytorch_teacher(section: str) -> None:
    (fault,) = cross_faults(recipe("ctranslate2", objective={section: [{}]}))
    wanted = f"{TERMS[section]} needs a PyTorch teacher; this recipe names only a CTranslate2 folder: "
    assert fault.startswith(f"student.objective.{section}[0]: {wanted}")
    assert "teacher.kind = 'opennmt'" in fault
    for kind in ("train", "opennmt"):
        assert cross_faults(recipe(kind, objective={section: [{}]})) == []


def test_another_toolkits_teacher_is_named() -> None:
    (fault,) = cross_faults(recipe("marian", objective={"features": [{}]}))
    assert "needs a PyTorch teacher; this recipe names only one of kind 'marian': " in fault


def test_a_term_that_never_weighs_anything_needs_no_teacher() -> None:
    assert cross_faults(recipe("ctranslate2", objective={"features": [{"weight": 0}]})) == []


def test_phases_are_looked_at_too() -> None:
    later = {"begin": 5, "objective": {"relations": [{"layers": [[1, 9]]}]}}
    faults = cross_faults(recipe("ctranslate2", phases=[{"begin": 3}, later]))
    assert [fault.partition(":")[0] for fault in faults] == ["student.phases[1].objective.relations[0]"]


def test_a_baseline_that_asks_for_terms_is_looked_at_too() -> None:
    configs = recipe("ctranslate2")
    configs["baseline"] = student.Config.model_validate({"data": "reference", "objective": {"features": [{}]}})
    assert [fault.partition(":")[0] for fault in cross_faults(configs)] == ["baseline.objective.features[0]"]


@pytest.mark.parametrize(("kind", "count"), [("train", 2), ("opennmt", 1)])
def test_layers_are_compared_with_the_models_that_the_recipe_describes(kind: str, count: int) -> None:
    """The student has 2 layers; of a teacher the recipe only knows what it trains itself: 3."""
    faults = cross_faults(recipe(kind, objective={"features": [{"layers": [[3, 1]]}, {"layers": [[1, 4]]}]}))
    told = [
        "student.objective.features[0].layers: the student's encoder has 2 layers, and layer 3 is asked for",
        "student.objective.features[1].layers: the teacher's encoder has 3 layers, and layer 4 is asked for",
    ]
    assert faults == told[:count]


@pytest.mark.parametrize(
    ("theirs", "ours", "fault"),
    [
        (None, None, ""),
        ({}, {}, ""),
        (None, {"tags": "none"}, ""),
        (None, {}, "student.languages.tags: the student's language tags are 'target', and 'none' those of the teacher"),
        ({"tags": "both"}, {}, "student.languages.tags: the student's language tags are 'target', and 'both'"),
        ({}, None, "student.languages: the student's language tags are 'none', and 'target'"),
    ],
)
def test_a_teacher_in_memory_reads_the_students_tags(theirs: Any, ours: Any, fault: str) -> None:
    options = {"languages": ours, "teacher": {"languages": theirs}}
    found = cross_faults(recipe("train", objective={"features": [{}]}, **options))
    assert [line[: len(fault)] for line in found] == ([fault] if fault else [])
    assert cross_faults(recipe("train", languages=ours, teacher={"languages": theirs})) == []


@pytest.mark.parametrize(
    ("asked", "ours", "key"),
    [
        ({}, None, ""),
        ({"target_prefix": ["<de>"]}, None, "target_prefix"),
        ({"source_suffix": ["</s>"]}, None, "source_suffix"),
        ({"source_prefix": ["<de>"]}, None, "source_prefix"),
        ({"source_prefix": ["<2{target}>"]}, {}, ""),
        ({"source_prefix": ["<2{target}>"]}, {"tags": "both"}, "source_prefix"),
        ({"source_prefix": ["<2{target}>"]}, None, "source_prefix"),
        ({}, {}, "source_prefix"),
        ({}, {"tags": "none"}, ""),
    ],
)
@pytest.mark.parametrize("section", list(TERMS))
def test_a_checkpoint_with_other_tokens_around_a_sentence_has_other_positions(
    asked: Any, ours: Any, key: str, section: str
) -> None:
    options = {"languages": ours, "teacher": asked}
    found = cross_faults(recipe("opennmt", objective={section: [{}]}, **options))
    assert [line.partition(": ")[0] for line in found] == ([f"teacher.{key}"] if key else [])
    assert cross_faults(recipe("opennmt", languages=ours, teacher=asked)) == []


def test_tokens_that_the_recipe_gives_a_teacher_trained_here_count_too() -> None:
    (fault,) = cross_faults(recipe("train", objective={"features": [{}]}, teacher={"target_prefix": ["<de>"]}))
    assert fault.startswith("teacher.target_prefix: with these tokens around each sentence")
