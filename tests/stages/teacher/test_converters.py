"""A converter that makes another model of what it is given: refused, whatever it got wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import ModelError
from stages.teacher import hub_converter
from tests.fixtures.hub_families import write_causal, write_t5
from tests.fixtures.hub_teachers import CHAT, make

pytestmark = pytest.mark.slow

Wrong = Callable[[Any, Any], None]


def _weight(spec: Any) -> Any:
    return spec.decoder.layer[0].ffn.linear_0


def _left_out(spec: Any, _: Any) -> None:
    _weight(spec).weight = np.zeros_like(_values(_weight(spec).weight))


def _transposed(spec: Any, _: Any) -> None:
    projection = spec.decoder.layer[1].self_attention.linear[1]
    projection.weight = np.ascontiguousarray(_values(projection.weight).T)


def _scaled(spec: Any, _: Any) -> None:
    spec.decoder.projection.weight = _values(spec.decoder.projection.weight) * np.float32(0.9)


def _swapped(spec: Any, _: Any) -> None:
    first, second = spec.decoder.layer[0].ffn.linear_1, spec.decoder.layer[1].ffn.linear_1
    first.weight, second.weight = second.weight, first.weight


def _without_norm(spec: Any, _: Any) -> None:
    spec.decoder.layer_norm.gamma = np.ones_like(_values(spec.decoder.layer_norm.gamma))


def _other_activation(spec: Any, _: Any) -> None:
    from ctranslate2.specs.common_spec import Activation

    spec.decoder.activation = np.int8(Activation.GELU)


def _other_base(spec: Any, _: Any) -> None:
    for layer in spec.decoder.layer:
        layer.self_attention.rotary_base = np.float32(5000.0)


def _one_row(spec: Any, _: Any) -> None:
    """Of one token that no sentence has: what is said of it differs all the same."""
    weight = _values(spec.decoder.projection.weight).copy()
    weight[300] = -weight[300]
    spec.decoder.projection.weight = weight


def _values(weight: Any) -> Any:
    """Whatever holds it: an array, a tensor, or CTranslate2's own variable."""
    weight = getattr(weight, "tensor", weight)
    return np.array(weight.detach().float().numpy() if hasattr(weight, "detach") else weight)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaForCausalLM

    folder = write_causal(tmp_path_factory.mktemp("llama") / "hub", "Llama")
    model = LlamaForCausalLM.from_pretrained(folder)
    torch.nn.init.normal_(model.model.norm.weight, 1.0, 0.5)
    model.save_pretrained(folder)
    return folder


WRONG: list[Wrong] = [
    _left_out,
    _transposed,
    _scaled,
    _swapped,
    _without_norm,
    _other_activation,
    _other_base,
    _one_row,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_converter_gets_wrong_is_refused(
    wrong: Wrong, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last that is done before a specification is handed on.
    monkeypatch.setattr(hub_converter, "_keep_scaling", wrong)
    with pytest.raises(ModelError, match="computes something else than its original"):
        make(tmp_path, llama, prompt=CHAT)


@pytest.mark.parametrize("number", [-1.0, np.nan])
def test_what_is_wrong_far_from_the_beginning_is_refused(
    number: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(spec: Any, _: Any) -> None:
        encodings = _values(spec.decoder.position_encodings.encodings)
        # No sentence alone is as long.
        encodings[64:] *= np.float32(number)
        spec.decoder.position_encodings.encodings = encodings

    monkeypatch.setattr(hub_converter, "_keep_scaling", wrong)
    told = r"differ by up to (\d+\.\d\d|nan) nats"
    with pytest.raises(ModelError, match=rf"computes something else than its original: .* {told}"):
        make(tmp_path, write_causal(tmp_path / "hub", "GPT2"), prompt={"template": "x {source}"})


@pytest.mark.parametrize("factor", [1.1, 0.5])
def test_what_quantization_gets_wrong_is_refused(
    factor: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctranslate2.specs.model_spec import ModelSpec, NumpyVariable

    quantize = ModelSpec._quantize

    def wrong(spec: Any, quantization: str | None, *more: Any) -> None:
        quantize(spec, quantization, *more)
        if quantization == "int8":
            layer = spec.decoder.layer[0].ffn.linear_0
            layer.weight_scale = NumpyVariable(layer.weight_scale.numpy() * np.float32(factor))

    monkeypatch.setattr(ModelSpec, "_quantize", wrong)
    with pytest.raises(ModelError, match=r"another than in float32: decoder/layer_0/ffn/linear_0/weight is further"):
        make(tmp_path, write_causal(tmp_path / "hub", "GPT2"), prompt=CHAT, quantization="int8")


def test_arithmetic_of_another_type_that_goes_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.teacher import comparison

    def wrong(engine: Any, *asked: Any) -> Any:
        found = logits(engine, *asked)
        return found if engine.compute_type == "float32" else found[:, ::-1].copy()

    logits = comparison.forced_logits
    monkeypatch.setattr(comparison, "forced_logits", wrong)
    with pytest.raises(ModelError, match=r"computes something else than in float32: its logits correlate by -?0\.\d\d"):
        make(tmp_path, write_causal(tmp_path / "hub", "GPT2"), prompt=CHAT, quantization="int8")


def test_numbers_that_a_type_does_not_hold_are_told(tmp_path: Path) -> None:
    import torch
    from transformers import T5ForConditionalGeneration

    folder = write_t5(tmp_path / "hub", tied=False)
    model = T5ForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        # Equal in float32, and beyond what float16 holds.
        model.lm_head.weight *= 1e5
        model.decoder.final_layer_norm.weight *= 1e-5
    model.save_pretrained(folder)
    make(tmp_path / "a", folder)
    with pytest.raises(ModelError, match=r"is another than in float32: .* \(float16 ends at 65,504\)"):
        make(tmp_path / "b", folder, quantization="float16")


def test_a_model_with_weights_missing_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_causal(tmp_path / "hub", "Qwen2")
    weights = load_file(folder / "model.safetensors")
    # A norm: transformers would fill it with ones each time it loads, and all would agree.
    del weights["model.layers.1.input_layernorm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"1 weights of the model are not in its files, such as model\.layers\.1\.input"
    ):
        make(tmp_path, folder, prompt=CHAT)


@pytest.mark.parametrize("quantization", ["int8", "int16", "bfloat16", "float16"])
def test_what_quantization_rounds_is_not_refused(quantization: str, tmp_path: Path) -> None:
    make(tmp_path, write_causal(tmp_path / "hub", "GPT2"), prompt=CHAT, quantization=quantization)
