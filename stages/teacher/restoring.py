"""An OpenNMT-py checkpoint of a teacher that is there as a CTranslate2 folder alone, in 8 bits or in 32.

What starts a student from its teacher, or compares the two inside, needs the weights in PyTorch. Which name stands for
which is what CTranslate2's converter of OpenNMT-py does, the other way round; put back from 8 bits, the teacher
translates as it did.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from data.model_file import ModelFile, read_model_file
from data.model_folder import MODEL_FILE, read_vocabulary, special_token
from stages.training.config import ModelConfig
from stages.training.vocabulary import BEGIN, SPECIALS, Vocabulary

if TYPE_CHECKING:
    import torch

_TYPES = ("float32", "int8")
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

_HEADS = "encoder/num_heads"
# What a layer computes beside its weights, as OpenNMT-py's own layers do; a model of another toolkit has others.
_KIND = {
    "encoder/pre_norm": 1, "encoder/activation": 0, "encoder/scale_embeddings": 1, "encoder/multi_query_attention": 0,
    "decoder/pre_norm": 1, "decoder/activation": 0, "decoder/scale_embeddings": 1, "decoder/alibi": 0,
    "decoder/start_from_zero_embedding": 0,
}  # fmt: skip
_EMBEDDINGS, _OUTPUT = "decoder/embeddings/weight", "decoder/projection/weight"
_SOURCE_EMBEDDINGS = "encoder/embeddings_0/weight"


def restore_checkpoint(folder: Path, path: Path) -> None:
    """Writes to `path` the checkpoint that a CTranslate2 folder could have been converted from.

    Raises ModelError when the folder is none of OpenNMT-py's, with layers as Potstill trains them.
    """
    import torch

    from stages.training.checkpoint import content_of, save
    from stages.training.model import build_transformer

    if faults := restore_faults(folder):
        raise ModelError("; ".join(faults))
    sides = [Vocabulary(tuple(read_vocabulary(folder, side))) for side in ("source", "target")]
    with torch.random.fork_rng(devices=[]):
        model = build_transformer(read_shape(folder / MODEL_FILE), sides[0], sides[1], "cpu")
    # The names are of those weights, and the values, which were just drawn, are not.
    save(path, filled(content_of(model), folder / MODEL_FILE))


def restore_faults(folder: Path) -> list[str]:
    """Why a CTranslate2 folder has no checkpoint to be put back, a line each; empty when it has. Reads headers."""
    try:
        model = read_model_file(folder / MODEL_FILE)
        begins = [tuple(read_vocabulary(folder, side))[: len(SPECIALS)] for side in ("source", "target")]
        start = special_token(folder, "decoder_start_token")
        found = _scalars(folder / MODEL_FILE, model)
    except ModelError as error:
        return [str(error)]
    faults = [
        f"{name} is {found.get(name, 'not there')}, in OpenNMT-py's {wanted}"
        for name, wanted in _KIND.items()
        if found.get(name) != wanted
    ]
    if (other := model.quantization()) not in _TYPES:
        faults.append(f"its weights are of type {other}, expected {' or '.join(_TYPES)}")
    if set(begins) != {SPECIALS} or start != BEGIN:
        faults.append(f"its vocabularies do not begin with {' '.join(SPECIALS)}, or its targets not with {BEGIN}")
    advice = "set teacher.restore_checkpoint to false, or name the checkpoint itself with kind = 'opennmt'"
    return [f"{folder} is no model of OpenNMT-py's whose checkpoint can be put back: {why}; {advice}" for why in faults]


def read_shape(path: Path) -> ModelConfig:
    """The shape of the transformer in a model.bin of OpenNMT-py's; raises ModelError when it can be none."""
    model = read_model_file(path)
    shapes = {each.name: each.shape for each in model.variables}
    aliases = dict(model.aliases)
    try:
        return ModelConfig(
            encoder_layers=_layers(shapes, "encoder"),
            decoder_layers=_layers(shapes, "decoder"),
            width=shapes[aliases.get(_EMBEDDINGS, _EMBEDDINGS)][1],
            heads=_scalars(path, model)[_HEADS],
            feed_forward=shapes["encoder/layer_0/ffn/linear_0/weight"][0],
            share_embeddings=_stored(_SOURCE_EMBEDDINGS, aliases) == _stored(_EMBEDDINGS, aliases),
            tie_output=_stored(_OUTPUT, aliases) == _stored(_EMBEDDINGS, aliases),
        )
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: no transformer of OpenNMT-py's: {error}") from error


def _layers(shapes: Mapping[str, tuple[int, ...]], side: str) -> int:
    found = {name.split("/")[1] for name in shapes if name.startswith(f"{side}/layer_")}
    return len(found - {"layer_norm"})


def _stored(name: str, aliases: Mapping[str, str]) -> str:
    """The name under which a tensor's values are in the file."""
    return aliases.get(name, name)


def _scalars(path: Path, model: ModelFile) -> dict[str, int]:
    """What a model.bin says of its layers in whole numbers."""
    numbers = [each for each in model.variables if not each.shape and each.dtype.startswith("int")]
    return {each.name: int(np.fromfile(path, each.dtype, 1, offset=each.start)[0]) for each in numbers}


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
    if model.quantization() not in _TYPES:
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
