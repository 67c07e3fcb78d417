"""A checkpoint put back from a CTranslate2 folder: the converter gives the folder again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import ModelError
from stages.loaded_model.conversion import convert_checkpoint, read_checkpoint
from stages.teacher.restoring import filled
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint


def converted(tmp_path: Path, quantization: str) -> tuple[Path, Path]:
    """A checkpoint, and the model.bin that CTranslate2 makes of it."""
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint.pt", seed=3)
    convert_checkpoint(checkpoint, tmp_path / "model", quantization=quantization)
    return checkpoint, tmp_path / "model" / "model.bin"


def template(tmp_path: Path, shape: TinyShape | None = None) -> dict[str, Any]:
    return read_checkpoint(write_tiny_checkpoint(tmp_path / "template.pt", seed=4, shape=shape))


def test_of_float32_all_weights_are_the_checkpoints_own(tmp_path: Path) -> None:
    checkpoint, model = converted(tmp_path, "float32")
    wanted, found = read_checkpoint(checkpoint), filled(template(tmp_path), model)
    for part in ("model", "generator"):
        assert wanted[part].keys() == found[part].keys()
        for name, value in wanted[part].items():
            np.testing.assert_array_equal(found[part][name].numpy(), value.numpy(), err_msg=name)


def test_of_8_bits_the_converter_makes_the_same_file_again(tmp_path: Path) -> None:
    import torch

    checkpoint, model = converted(tmp_path, "int8")
    found = filled(template(tmp_path), model)
    torch.save(found, tmp_path / "back.pt")
    convert_checkpoint(tmp_path / "back.pt", tmp_path / "again", quantization="int8")
    assert (tmp_path / "again" / "model.bin").read_bytes() == model.read_bytes()
    for name, value in read_checkpoint(checkpoint)["model"].items():
        if name.endswith(".weight") and value.ndim == 2:
            step = value.abs().amax(1, keepdim=True) / 127
            assert ((found["model"][name] - value).abs() <= 0.51 * step).all(), name


def test_another_shape_is_refused(tmp_path: Path) -> None:
    _, model = converted(tmp_path, "int8")
    with pytest.raises(ModelError, match=r"gives .*w_1\.weight the shape \(24, 16\), expected \(25, 16\)"):
        filled(template(tmp_path, TinyShape(feed_forward=25)), model)


def test_layers_too_many_or_too_few_are_refused(tmp_path: Path) -> None:
    _, model = converted(tmp_path, "int8")
    with pytest.raises(ModelError, match="no encoder/layer_2/"):
        filled(template(tmp_path, TinyShape(encoder_layers=3)), model)
    with pytest.raises(ModelError, match="has no place for encoder/layer_1/"):
        filled(template(tmp_path, TinyShape(encoder_layers=1)), model)


def test_16_bits_are_refused(tmp_path: Path) -> None:
    _, model = converted(tmp_path, "float16")
    with pytest.raises(ModelError, match="of type float16, expected float32 or int8"):
        filled(template(tmp_path), model)
