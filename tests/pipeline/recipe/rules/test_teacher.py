"""What a language model cannot do is told when the recipe is read."""

from pathlib import Path

import pytest

from data.errors import ConfigError
from tests.pipeline.recipe.rules.letters import CORPUS, read_letters

RECIPE = (
    CORPUS
    + """[teacher]
architecture = "decoder-only"
[tokenizer]
vocabulary_size = 16
"""
)


def faults(folder: Path, *overrides: str) -> list[str]:
    try:
        read_letters(folder, RECIPE, *overrides)
    except ConfigError as error:
        return list(error.faults[1:])
    return []


def test_a_recipe_with_a_language_model_has_no_faults(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("score.backend=torch", "score.backend: 'torch' scores no decoder-only teacher"),
        ("decode.shortlist=50", "decode.shortlist: CTranslate2 has none for a decoder-only teacher"),
        ("teacher.model.encoder_layers=3", "teacher.model: a decoder-only teacher has no encoder_layers"),
        ("student.objective.contrastive=[{}]", "student.objective: terms that need a teacher in memory"),
    ],
)
def test_what_it_cannot_do_is_told_with_its_key(tmp_path: Path, override: str, fault: str) -> None:
    found = faults(tmp_path, override)
    assert any(line.startswith(fault) for line in found), found
    assert faults(tmp_path, override, "teacher.architecture=encoder-decoder") == [] or "encoder_layers" not in override


def test_a_start_from_it_is_refused(tmp_path: Path) -> None:
    assert "a decoder-only teacher has no encoder" in faults(tmp_path, "student.start.embeddings=copy")[0]
