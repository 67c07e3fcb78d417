"""An OpenNMT-py checkpoint of a teacher that ships as a CTranslate2 folder alone, in 8 bits.

The comparison's rows are of one teacher, and training it anew gives another one. Put back from 8 bits it translates as
it did, and objectives on inner states have the checkpoint that they need. Which name stands for which is what
CTranslate2's converter of OpenNMT-py does, the other way round.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from data.model_file import read_model_file

_SCALE = "_scale"
_POSITIONS = ".pe"
_LAYERS = {"encoder.transformer.": "encoder/layer_", "decoder.transformer_layers.": "decoder/layer_"}
_SELF, _CROSS, _FEED_FORWARD = "self_attention/", "attention/", "ffn/"
# Of a layer: each weight's variable, and which of the parts fused in it (query, key, value) it is, of how many.
_OF_LAYER: Mapping[str, tuple[str, int, int]] = {
    "self_attn.linear_query": (_SELF + "linear_0", 0, 3),
    "self_attn.linear_keys": (_SELF + "linear_0", 1, 3),
    "self_attn.linear_values": (_SELF + "linear_0", 2, 3),
    "self_attn.final_linear": (_SELF + "linear_1", 0, 1),
    "context_attn.linear_query": (_CROSS + "linear_0", 0, 1),
    "context_attn.linear_keys": (_CROSS + "linear_1", 0, 2),
    "context_attn.linear_values": (_CROSS + "linear_1", 1, 2),
    "context_attn.final_linear": (_CROSS + "linear_2", 0, 1),
    "feed_forward.w_1": (_FEED_FORWARD + "linear_0", 0, 1),
    "feed_forward.w_2": (_FEED_FORWARD + "linear_1", 0, 1),
    "feed_forward.layer_norm": (_FEED_FORWARD + "layer_norm", 0, 1),
    "layer_norm": (_SELF + "layer_norm", 0, 1),
    "layer_norm_1": (_SELF + "layer_norm", 0, 1),
    "layer_norm_2": (_CROSS + "layer_norm", 0, 1),
}
_ELSEWHERE = {
    "encoder.embeddings.make_embedding.emb_luts.0": "encoder/embeddings_0",
    "decoder.embeddings.make_embedding.emb_luts.0": "decoder/embeddings",
    "encoder.layer_norm": "encoder/layer_norm",
    "decoder.layer_norm": "decoder/layer_norm",
    "generator": "decoder/projection",
}


def filled(template: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """`template`, a checkpoint of the same architecture and vocabulary, with the weights of `model`, a model.bin.

    Raises ModelError when a weight is missing there, has another shape, or is left over.
    """
    import torch

    variables = read_variables(model)
    unused = set(variables)

    def take(name: str, old: "torch.Tensor") -> "torch.Tensor":
        if name.endswith(_POSITIONS):  # a table that is no weight
            return old
        variable, part, parts = _variable(name)
        if variable not in variables:
            raise ModelError(f"{model}: no {variable}, which {name} of the checkpoint stands for")
        value = np.split(variables[variable], parts)[part]
        if value.shape != tuple(old.shape):
            raise ModelError(f"{model}: {variable} gives {name} the shape {value.shape}, expected {tuple(old.shape)}")
        unused.discard(variable)
        return torch.from_numpy(value.copy())

    weights = {name: take(name, old) for name, old in template["model"].items()}
    head = {name: take(f"generator.{name}", old) for name, old in template["generator"].items()}
    if unused:
        raise ModelError(f"{model}: the checkpoint has no place for {', '.join(sorted(unused))}")
    return {**template, "model": weights, "generator": head}


def read_variables(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All learned weights of a model.bin by all their names, those in 8 bits as they were but for the rounding.

    Raises ModelError when it is no such file, or one of another type than float32 or int8.
    """
    model = read_model_file(path)
    if model.quantization() not in {"float32", "int8"}:
        raise ModelError(f"{path}: of type {model.quantization()}, expected float32 or int8")
    stored = {
        each.name: np.fromfile(path, each.dtype, each.size(), offset=each.start).reshape(each.shape)
        for each in model.variables
    }
    found = {
        each.name: _undone(stored[each.name], stored.get(each.name + _SCALE))
        for each in model.variables
        if each.learned
    }
    return found | {name: found[shared] for name, shared in model.aliases if shared in found}


def _variable(name: str) -> tuple[str, int, int]:
    """What a checkpoint's `name` is called in a model.bin, and which part of how many it is of that."""
    place, _, kind = name.rpartition(".")
    if "layer_norm" in place:
        kind = {"weight": "gamma", "bias": "beta"}[kind]
    for ours, theirs in _LAYERS.items():
        if place.startswith(ours):
            number, _, rest = place.removeprefix(ours).partition(".")
            variable, part, parts = _OF_LAYER[rest]
            return f"{theirs}{number}/{variable}/{kind}", part, parts
    return f"{_ELSEWHERE[place]}/{kind}", 0, 1


def _undone(value: npt.NDArray[Any], scale: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    """A matrix by what each of its rows was multiplied with for 8 bits."""
    return value if scale is None else value.astype(np.float32) / scale[:, None]
