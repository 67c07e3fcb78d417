"""The stage student beside its teacher's checkpoint: found in the teacher's folder, or missed with the reason."""

from pathlib import Path

import pytest

from data.errors import ModelError
from data.model_folder import read_vocabulary
from tests.fixtures.tiny_teacher import write_tiny_teacher
from tests.stages.student.test_student import artifacts, curve, dataset_table, run

TERMS = {"soft_targets": {"weight": 0}, "features": [{}], "relations": [{"stack": "decoder", "weight": 0}]}


def test_it_trains_beside_the_teachers_checkpoint(tmp_path: Path, tiny_teacher: Path) -> None:
    dataset = dataset_table(read_vocabulary(tiny_teacher, "target"))
    folder, metrics = run(tmp_path, artifacts(tmp_path, tiny_teacher, dataset), objective=TERMS)
    reported = [line for line in curve(folder) if "loss" in line]
    assert reported and all(line["features_encoder"] > 0 for line in reported)
    assert metrics["features_encoder"] == pytest.approx(reported[-1]["features_encoder"], rel=1e-5)
    assert not any("relations_decoder" in line for line in reported)


def test_a_folder_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    teacher = write_tiny_teacher(tmp_path / "teacher")
    (teacher / "checkpoint.pt").unlink()
    dataset = dataset_table(read_vocabulary(teacher, "target"))
    with pytest.raises(ModelError, match=r"no checkpoint\.pt; .* need a PyTorch teacher"):
        run(tmp_path, artifacts(tmp_path, teacher, dataset), objective=TERMS)
