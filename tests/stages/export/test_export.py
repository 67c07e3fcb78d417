"""The exported folder against the five lines that its own card shows, run by a stranger."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import describe_model, load_teacher_info
from data.runtime import Runtime
from stages.export.stage import Config, run
from stages.loaded_model.translate import translate_lines
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.tiny_student import (
    SENTENCES,
    TALKATIVE_SEED,
    corpus_artifact,
    student_artifact,
    tokenizer_artifact,
    tokenizer_pieces,
    write_tiny_tokenizer,
)


def exported(root: Path, *, node: str = "student", kind: str = "train", target_of_its_own: bool = False) -> Artifact:
    tokenizer = write_tiny_tokenizer(root / "tokenizer", kind=kind, target_of_its_own=target_of_its_own)
    store = root / "store"
    inputs = {
        "corpus": corpus_artifact(store),
        "tokenizer": tokenizer_artifact(store, tokenizer),
        node: student_artifact(
            store,
            tokenizer,
            node=node,
            # Whose translations differ and end, with the vocabulary that each kind has.
            seed=9 if kind == "library" else TALKATIVE_SEED,
            data="reference" if node == "baseline" else "dataset",
        ),
    }
    output = new_artifact(store, "export")
    metrics = run(inputs, Config(), output, Runtime())
    assert metrics["parameters"] == describe_model(output.work_path(), "student").parameters
    return closed(output)


def five_lines(folder: Path) -> list[str]:
    [code] = re.findall(r"```python\n(.*?)\n```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) == 5
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        input="".join(f"{sentence}\n" for sentence in SENTENCES),
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
    )
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("kind", "target_of_its_own"),
    [("train", False), ("train", True), ("none", False), ("library", False), ("codes", False)],
)
def test_the_cards_five_lines_translate_as_potstill_does(tmp_path: Path, kind: str, target_of_its_own: bool) -> None:
    folder = exported(tmp_path, kind=kind, target_of_its_own=target_of_its_own).path()
    expected = list(translate_lines(folder, SENTENCES))
    assert len(set(expected)) > 2
    assert five_lines(folder) == expected


def test_the_folder_is_whole_and_small(tmp_path: Path) -> None:
    folder = exported(tmp_path).path()
    names = {path.name for path in folder.iterdir()}
    assert {"model.bin", "config.json", "source.spm", "tokenizer.json", "potstill.json", "README.md"} <= names
    assert not [name for name in names if name.startswith(".") or name.endswith(".pt")]
    info = load_teacher_info(folder)
    assert (info.kind, info.quantization) == ("student", "int8")
    size = len(tokenizer_pieces(folder)) + 4
    assert info.target_vocabulary_size == size
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in (
        "English to German",
        "(int8)",
        f"{info.parameters:,} parameters",
        "1,234 steps",
        "distilled",
        "torch 2.13.0",
    ):
        assert words in card


def test_a_baselines_card_says_that_it_saw_no_teacher(tmp_path: Path) -> None:
    card = (exported(tmp_path, node="baseline").path() / "README.md").read_text(encoding="utf-8")
    assert "references of the corpus alone" in card
    assert "distilled from" not in card


def test_a_killed_export_is_simply_done_again(tmp_path: Path) -> None:
    store, tokenizer = tmp_path / "store", write_tiny_tokenizer(tmp_path / "tokenizer")
    inputs = {
        "corpus": corpus_artifact(store),
        "tokenizer": tokenizer_artifact(store, tokenizer),
        "student": student_artifact(store, tokenizer),
    }
    output = new_artifact(store, "export")
    left = output.work_path() / ".model"
    left.mkdir()
    (left / "model.bin").write_bytes(b"half")
    (output.work_path() / "model.bin").write_bytes(b"half")
    run(inputs, Config(quantization="float32"), output, Runtime())
    assert load_teacher_info(output.work_path()).quantization == "float32"
    assert not left.exists()


def test_a_student_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    store, tokenizer = tmp_path / "store", write_tiny_tokenizer(tmp_path / "tokenizer")
    inputs = {
        "corpus": corpus_artifact(store),
        "tokenizer": tokenizer_artifact(store, tokenizer),
        "student": closed(new_artifact(store, "student")),
    }
    with pytest.raises(ModelError, match=r"checkpoint\.pt: no such checkpoint"):
        run(inputs, Config(), new_artifact(store, "export"), Runtime())
