"""A checkpoint put back from a CTranslate2 folder: the converter gives the folder again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import ModelError
from data.model_file import read_model_file
from stages.loaded_model.conversion import convert_checkpoint, read_checkpoint
from stages.teacher import marian
from stages.teacher.restoring import filled, read_shape, restore_checkpoint, restore_faults
from tests.fixtures.hub_models import write_marian
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint

TEACHER = Path(__file__).parents[3] / "recipes" / "teachers" / "en-de"


def converted(tmp_path: Path, quantization: str) -> tuple[Path, Path]:
    """A checkpoint, and the model.bin that CTranslate2 makes of it."""
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint.pt", seed=3)
    convert_checkpoint(checkpoint, tmp_path / "model", quantization=quantization)
    return checkpoint, tmp_path / "model" / "model.bin"


def stored(model: Path) -> dict[str, Any]:
    """Everything in a model.bin, as it is stored there."""
    variables = read_model_file(model).variables
    return {each.name: np.fromfile(model, each.dtype, each.size(), offset=each.start) for each in variables}


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


@pytest.mark.parametrize("quantization", ["int8", "float32"])
def test_a_folder_alone_gives_a_checkpoint_of_which_the_converter_makes_it_again(
    tmp_path: Path, quantization: str
) -> None:
    _, model = converted(tmp_path, quantization)
    restore_checkpoint(model.parent, tmp_path / "back.pt")
    convert_checkpoint(tmp_path / "back.pt", tmp_path / "again", quantization=quantization)
    again = tmp_path / "again"
    for name in ("config.json", "shared_vocabulary.json"):
        assert (again / name).read_bytes() == (model.parent / name).read_bytes(), name
    wanted, found = stored(model), stored(again / "model.bin")
    assert list(wanted) == list(found)
    for name, value in wanted.items():
        # Sinusoids are computed anew, by torch and not by numpy.
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-5 if "position" in name else 0, err_msg=name)


def test_the_shape_is_read_from_the_file(tmp_path: Path) -> None:
    _, model = converted(tmp_path, "int8")
    tiny, found = TinyShape(), read_shape(model)
    assert (found.width, found.heads, found.feed_forward) == (tiny.width, tiny.heads, tiny.feed_forward)
    assert (found.encoder_layers, found.decoder_layers) == (tiny.encoder_layers, tiny.decoder_layers)
    found = read_shape(TEACHER / "model.bin")
    assert (found.encoder_layers, found.decoder_layers, found.width, found.feed_forward) == (6, 3, 256, 1024)
    assert (found.heads, found.share_embeddings, found.tie_output) == (4, True, True)


def test_a_folder_of_another_toolkit_or_another_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    marian.convert_marian(write_marian(tmp_path / "marian"), [], tmp_path / "folder", "int8")
    faults = restore_faults(tmp_path / "folder")
    assert any("pre_norm is 0, in OpenNMT-py's 1" in fault for fault in faults)
    assert any("vocabularies do not begin with <unk> <blank> <s> </s>" in fault for fault in faults)
    with pytest.raises(ModelError, match="no model of OpenNMT-py's whose checkpoint can be put back"):
        restore_checkpoint(tmp_path / "folder", tmp_path / "back.pt")
    assert not (tmp_path / "back.pt").exists()
    _, model = converted(tmp_path, "float16")
    [fault] = restore_faults(model.parent)
    assert "of type float16, expected float32 or int8" in fault


def test_drawing_a_template_leaves_the_random_state_alone(tmp_path: Path) -> None:
    import torch

    _, model = converted(tmp_path, "int8")
    before = torch.random.get_rng_state()
    restore_checkpoint(model.parent, tmp_path / "back.pt")
    assert torch.equal(torch.random.get_rng_state(), before)
