"""Noise that would be compared, or joined, with what is clean, is told when the recipe is read."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from data.errors import ConfigError
from pipeline.recipe.rules.noise import noise_faults
from stages.corpus import stage as corpus
from stages.student import stage as student
from tests.pipeline.recipe.rules.letters import CORPUS, read_letters

ONLINE = {"objective": {"features": [{}]}}


def of_corpus(read_by: str | None) -> corpus.Config:
    noise = {"noise": {"read_by": read_by, "typos": 0.1}} if read_by else {}
    source = {"kind": "tsv", "name": "a", "file": "a.tsv", "target_column": 1}
    languages = {"source_language": "en", "target_language": "de"}
    return corpus.Config.model_validate({**languages, "sources": [source], **noise})


class Given(BaseModel):
    """A teacher whose translations are given."""

    kind: Literal["given"] = "given"


def faults(read_by: str | None, learner: dict[str, Any] | None = None, teacher: str = "") -> list[str]:
    configs: dict[str, BaseModel] = {"corpus": of_corpus(read_by)}
    configs |= {"student": student.Config.model_validate(learner)} if learner is not None else {}
    configs |= {teacher: Given()} if teacher else {}
    return list(noise_faults(configs))


def test_what_compares_with_a_teacher_in_memory_needs_noise_that_both_read() -> None:
    (fault,) = faults("student", ONLINE)
    assert fault.startswith("corpus.noise.read_by: 'student' keeps noise from the teacher")
    assert faults("teacher", ONLINE) == faults("student", {}) == faults(None, ONLINE) == []


@pytest.mark.parametrize("node", ["teacher", "teacher_other"])
def test_given_translations_are_of_clean_sources(node: str) -> None:
    (fault,) = faults("teacher", {}, node)
    assert f"the translations of {node} are given" in fault
    assert faults("student", {}, node) == []


def test_a_recipe_with_noise_is_read_and_its_faults_are_told_by_their_keys(tmp_path: Path) -> None:
    recipe = CORPUS + "[corpus.noise]\n{noise}\n[teacher]\n"
    read = read_letters(tmp_path, recipe, noise="typos = 0.05\nupper_case = 0.05")
    assert dict(read.graph["corpus"].config.noise.shares()) == {"upper_case": 0.05, "typos": 0.05}  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"corpus.noise: .*upper_case, typos: shares of 0.5"):
        read_letters(tmp_path, recipe, noise="typos = 0.6\nupper_case = 0.5")
    with pytest.raises(ConfigError, match=r"corpus.noise.typo: unknown key.*typos"):
        read_letters(tmp_path, recipe, noise="typo = 0.6")
