"""The report's teacher searches as the recipe has it search."""

from pathlib import Path

import pytest

from data.artifact import Artifact
from stages.beam_search.config import Config as Decoding
from stages.evaluate.stage import Config, _load_systems
from stages.evaluate.systems import load_system
from tests.fixtures.artifacts import artifact_of_folder, new_artifact, words_tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> Artifact:
    return words_tokenizer(tmp_path)


def test_a_length_penalty_changes_what_a_teacher_says(tiny_teacher: Path, tokenizer: Artifact) -> None:
    system = load_system("teacher", tiny_teacher, tokenizer.path(), 5, 1, "cpu")
    lines = [f"a{number} a{number + 3} a{number + 9}" for number in range(12)]
    said = {
        penalty: [
            one.text
            for one in system.searching(Decoding(length_penalty=penalty, max_decoding_length=9)).translator.translate(
                lines, beam_size=5
            )
        ]
        for penalty in (0.0, 1.0, 4.0)
    }
    assert len({tuple(texts) for texts in said.values()}) == 3
    assert max(len(text.split()) for texts in said.values() for text in texts) <= 9


def test_the_teachers_decoding_is_that_of_the_run(tiny_teacher: Path, tokenizer: Artifact, tmp_path: Path) -> None:
    decoding = new_artifact(tmp_path, "decode")
    config = Decoding(length_penalty=0.6, max_decoding_length=33).model_dump()
    decoding.complete(stage="decode", version="1", config=config, inputs={}, libraries={}, metrics={})
    exported = tmp_path / "exported"
    exported.mkdir()
    for path in [*tiny_teacher.iterdir(), tokenizer.path() / "tokenizer.json"]:
        if path.is_file() and not path.name.startswith("manifest"):
            (exported / path.name).write_bytes(path.read_bytes())
    inputs = {
        "teacher": artifact_of_folder(tmp_path / "t", "teacher", tiny_teacher),
        "export": artifact_of_folder(tmp_path / "e", "export", exported),
        "tokenizer": tokenizer,
        "decode": decoding,
    }
    systems = _load_systems(inputs, Config(), 1, "cpu", set())
    found = {name: (one.translator.length_penalty, one.translator.longest_target) for name, one in systems.items()}
    assert found["teacher"] == found["teacher_beam1"] == (0.6, 33)
    assert found["student"] == found["student_beam5"] == (1.0, 256)
