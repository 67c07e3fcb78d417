"""The stage with a start: the first step is taken from the teacher's weights, matched by token."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import ModelError
from data.model_folder import read_vocabulary
from stages.training.checkpoint import load_model
from tests.stages.student.test_student import artifacts, dataset_table, run

# One step that changes next to nothing, so that what the student is shows what it was.
NO_STEP = {
    "steps": 1,
    "batch_tokens": 60,
    "learning_rate": 1e-7,
    "schedule": "constant",
    "precision": "float32",
}
MODEL = {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 24, "tie_output": False}


def started(folder: Path, teacher: Path, **options: Any) -> Path:
    table = dataset_table(read_vocabulary(teacher, "target"))
    asked: dict[str, Any] = {"optimiser": NO_STEP, "model": MODEL, "start": {"encoder_layers": [2]}} | options
    return run(folder, artifacts(folder, teacher, table), "student", **asked)[0] / "checkpoint.pt"


def test_the_student_begins_as_its_teacher(tmp_path: Path, tiny_teacher: Path) -> None:
    student = load_model(started(tmp_path, tiny_teacher), "cpu")
    teacher = load_model(tiny_teacher / "checkpoint.pt", "cpu")
    rows = [student.target_vocabulary.tokens.index(token) for token in teacher.target_vocabulary.tokens]
    mine, theirs = (dict(each.module.named_parameters(remove_duplicate=False)) for each in (student, teacher))
    for name, value in mine.items():
        given = theirs[name.replace("encoder.transformer.0", "encoder.transformer.1")]
        by_row = "emb_luts" in name or name.startswith("generator.")
        torch.testing.assert_close(value[rows] if by_row else value, given, rtol=0, atol=1e-6, msg=name)


def test_a_start_that_does_not_fit_is_an_error_before_the_first_step(tmp_path: Path, tiny_teacher: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.feed_forward: is 32, the teacher's 24"):
        started(tmp_path, tiny_teacher, model=MODEL | {"feed_forward": 32})
    assert not list(tmp_path.glob("student-*/checkpoint.pt"))


def test_a_teacher_without_checkpoint_is_named(tmp_path: Path, tiny_teacher: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in tiny_teacher.iterdir():
        if path.name != "checkpoint.pt":
            (bare / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=r"checkpoint\.pt cannot be read"):
        started(tmp_path, bare)
