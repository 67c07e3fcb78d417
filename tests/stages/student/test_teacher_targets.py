"""Validation on what the teacher makes of the sources, against the teacher's own translations."""

from pathlib import Path

import pytest

from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.loaded_model.translate import load_translator
from stages.student.teacher_targets import valid_on_teacher
from stages.text.tokenizer import load_tokenizer
from tests.stages.student.test_student import artifacts, corpus_table, dataset_table, out_of_english, run


def test_references_are_the_teachers_greedy_translations(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = out_of_english(corpus_table(5, references=False))
    corpus = {"train-00000": out_of_english(corpus_table(1)), "valid-00000": table}
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(read_vocabulary(tiny_teacher, "target")), corpus=corpus)
    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    (stream,) = valid_on_teacher(inputs, tokenizer, 10, tmp_path / "work", Runtime())
    found = stream.shards[0]()
    assert found.num_rows == 10
    translator = load_translator(inputs["teacher"].path(), tokenizer=tokenizer, threads=1)
    translations = translator.translate(found["source"].to_pylist(), beam_size=1)
    # What was cut off at the longest that there may be is no target.
    wanted = [None if one.cut or not one.text else one.text for one in translations]
    assert found["reference"].to_pylist() == wanted
    assert any(wanted)
    # Asked again it translates nothing.
    monkeypatch.delattr("stages.student.teacher_targets.load_translator")
    (again,) = valid_on_teacher(inputs, tokenizer, 10, tmp_path / "work", Runtime())
    assert again.shards[0]().equals(found)


def test_a_corpus_without_references_can_be_validated(tmp_path: Path, tiny_teacher: Path) -> None:
    corpus = {name: out_of_english(corpus_table(seed, references=False)) for name, seed in
              (("train-00000", 1), ("valid-00000", 5))}  # fmt: skip
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(read_vocabulary(tiny_teacher, "target")), corpus=corpus)
    _, metrics = run(tmp_path, inputs, validation={"targets": "teacher"})
    assert metrics["valid_cross_entropy"] > 0 and metrics["validation"]["rows"] > 0
