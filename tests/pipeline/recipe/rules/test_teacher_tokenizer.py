"""Subwords that cannot be a ready-made teacher's are told when the recipe is read."""

import shutil
from pathlib import Path

from pipeline.recipe.rules.teacher import tokenizer_faults
from stages.teacher import stage as teacher
from stages.tokenizer import stage as tokenizer


def faults(given: teacher.Config, **options: object) -> list[str]:
    return list(tokenizer_faults({"teacher": given, "tokenizer": tokenizer.Config.model_validate(options)}))


def test_new_subwords_are_no_ready_made_models(tiny_teacher: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(tiny_teacher, tmp_path / "bare")
    given = teacher.Config(kind="ctranslate2", path=str(bare))
    (fault,) = faults(given, kind="train")
    assert fault.startswith("tokenizer.kind: 'train' makes new subwords, but teacher is a ready-made model")
    assert not faults(teacher.Config(), kind="train")
    assert not faults(given, kind="none")


def test_a_folder_without_subword_models_is_told(tiny_teacher: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(tiny_teacher, tmp_path / "bare")
    given = teacher.Config(kind="ctranslate2", path=str(bare))
    (fault,) = faults(given, kind="teacher")
    assert fault.startswith(f"tokenizer.kind: 'teacher': {bare} has no SentencePiece model")
    (bare / "source.spm").write_bytes(b"")
    assert not faults(given, kind="teacher")
