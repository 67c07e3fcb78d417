"""A tokenizer for the student alone: who reads it, and which objectives it rules out when the recipe is read."""

from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.estimating.estimate import first_stages
from pipeline.recipe.recipe import Recipe, read_recipe
from tests.pipeline.recipe.rules.letters import CORPUS, read_letters

RECIPE = (
    CORPUS
    + """[teacher]
[student_tokenizer]
kind = "train"
vocabulary_size = 16
[student.objective.soft_targets]
weight = 0
[baseline]
"""
)


def read(folder: Path, *overrides: str) -> Recipe:
    return read_letters(folder, RECIPE, *overrides)


def faults(folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(folder, *overrides)
    return raised.value.faults[1:]


def test_students_and_their_exports_read_it_and_nobody_else(tmp_path: Path) -> None:
    graph = read(tmp_path).graph
    readers = {node.name for node in graph.nodes if "student_tokenizer" in node.inputs.values()}
    assert readers == {"student", "baseline", "export", "export_baseline"}
    assert graph["student_tokenizer"].inputs == {"corpus": "corpus"}
    assert graph["student_tokenizer"].config.vocabulary_size == 16  # type: ignore[attr-defined]
    assert graph["tokenizer"].config.vocabulary_size == 8000  # type: ignore[attr-defined]


def test_an_estimate_makes_it_for_real_as_it_makes_the_teachers(tmp_path: Path) -> None:
    beginnings = first_stages(read(tmp_path).graph)
    assert set(beginnings) == {"corpus", "tokenizer", "teacher", "calibrate", "student_tokenizer"}


def test_without_the_section_there_is_no_such_stage(tmp_path: Path) -> None:
    recipe = tmp_path / "without.toml"
    (tmp_path / "corpus.tsv").write_text("a\tb\n")
    text = RECIPE.format(corpus=tmp_path / "corpus.tsv")
    section = '[student_tokenizer]\nkind = "train"\nvocabulary_size = 16\n'
    recipe.write_text(text.replace(section, ""))
    graph = read_recipe(recipe).graph
    assert "student_tokenizer" not in {name for node in graph.nodes for name in (node.name, *node.inputs)}


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("student.objective.soft_targets.weight=0.5", "student.objective.soft_targets.weight: soft targets are of the"),
        ("student.objective.contrastive=[{}]", "student.objective: its terms compare positions of the teacher's"),
        ("student.start.embeddings=copy", "student.start: the teacher's embeddings are of its own subwords"),
        ("student_tokenizer.kind=none", "student_tokenizer"),
        ("student_tokenizer.vocabulary_sise=9", "student_tokenizer.vocabulary_sise: unknown key"),
    ],
)
def test_what_is_said_of_the_teachers_subwords_cannot_be_learned(tmp_path: Path, override: str, fault: str) -> None:
    found = faults(tmp_path, override)
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.parametrize("kind", ["none", "teacher"])
def test_a_tokenizer_that_is_not_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    recipe = tmp_path / "recipe.toml"
    (tmp_path / "corpus.tsv").write_text("a\tb\n")
    text = RECIPE.format(corpus=tmp_path / "corpus.tsv")
    recipe.write_text(text.replace('kind = "train"\nvocabulary_size = 16', f'kind = "{kind}"'))
    with pytest.raises(ConfigError) as raised:
        read_recipe(recipe)
    assert any(line.startswith(f"student_tokenizer.kind: '{kind}'") for line in raised.value.faults)


def test_a_file_that_is_missing_is_told_under_this_section(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    (tmp_path / "corpus.tsv").write_text("a\tb\n")
    text = RECIPE.format(corpus=tmp_path / "corpus.tsv")
    recipe.write_text(text.replace('kind = "train"\nvocabulary_size = 16', 'kind = "file"\nsource_model = "gone.spm"'))
    with pytest.raises(ConfigError) as raised:
        read_recipe(recipe)
    assert "student_tokenizer.source_model: no such file: gone.spm" in raised.value.faults
