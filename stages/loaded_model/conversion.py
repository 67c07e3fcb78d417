"""From an OpenNMT-py checkpoint to a CTranslate2 folder, safely: no code in the checkpoint can run."""

import argparse
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError

if TYPE_CHECKING:
    from ctranslate2.converters import Converter

# Both name the same weights; CTranslate2's converter knows only the second, OpenNMT-py's default is the first.
_FLASH_ATTENTION, _PLAIN_ATTENTION = "scaled-dot-flash", "scaled-dot"
# CTranslate2 cuts sources at 1,024 tokens and targets at 256 unless told otherwise; OpenNMT-py's table of 5,000
# positions, kept in 32 bits, would be two thirds of a small model's file.
_POSITIONS_SUFFIX, POSITIONS = ".make_embedding.pe.pe", 1024
_COMPUTED = (".pe", ".rope")
_UNKNOWN_OPTIONS = ("copy_attn", "parallel_residual", "shared_layer_norm", "num_experts")
_POSITIONS_OF_LANGUAGE_MODELS = {-1: "rotary", -2: "ALiBi"}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's content, tensors on the CPU; raises ModelError when it is none or holds more than data."""
    import torch

    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; train the model first or mend the path")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: holds more than weights and options, so it is not loaded: {error}") from error
    except Exception as error:  # a file of other bytes makes the unpickler raise whatever it trips over
        raise ModelError(f"{path}: cannot be read as a PyTorch checkpoint, perhaps it was cut off: {error}") from error
    missing = [key for key in ("model", "generator", "vocab", "opt") if key not in (content or {})]
    if missing and {"vocab", "opt"} <= set(content or {}):
        raise ModelError(
            f"{path}: has no weights in it, as save_format = safetensors leaves them beside it; save the model with "
            "save_format = pytorch"
        )
    if missing:
        raise ModelError(f"{path}: no OpenNMT-py checkpoint, it lacks {', '.join(missing)}; pass one of OpenNMT-py 3")
    return dict(content)


def convert_checkpoint(path: Path, folder: Path, *, quantization: str) -> None:
    """Write `folder` (replaced if it is there) as a CTranslate2 model of `quantization`.

    Raises ModelError when the file is no OpenNMT-py transformer that CTranslate2 can run, or has weights that it would
    leave out.
    """
    checkpoint = read_checkpoint(path)
    if faults := _not_known(vars(checkpoint["opt"])):
        raise ModelError(f"{path}: CTranslate2 cannot run this model: {'; '.join(faults)}; train it without")
    checkpoint = _for_ctranslate2(checkpoint)
    weights = _Weights(
        {**checkpoint["model"], **{f"generator.{name}": value for name, value in checkpoint["generator"].items()}}
    )
    try:
        _converter(checkpoint, weights).convert(str(folder), quantization=quantization, force=True)
    except (ValueError, KeyError, NotImplementedError, AttributeError, RuntimeError) as error:
        lacks = "it lacks, of those that its options call for, the weight " if type(error) is KeyError else ""
        raise ModelError(f"{path}: CTranslate2 cannot run this model: {lacks}{error}") from error
    if unused := weights.unused():
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(
            f"{path}: CTranslate2's converter leaves out {len(unused)} of its weights ({', '.join(unused[:4])}, ...): "
            "the converted model would compute something else; train it without the option that they come from"
        )


class _Weights(dict[str, Any]):
    """Weights by name, which notes the names that are asked for."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        super().__init__(weights)
        self._read = set[str]()

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        self._read.add(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return super().get(name, default)

    def unused(self) -> list[str]:
        """Names of weights that nobody asked for; tables that are computed are none."""
        return sorted(name for name in self.keys() - self._read if not name.endswith(_COMPUTED))


def _converter(checkpoint: Mapping[str, Any], weights: _Weights) -> "Converter":
    """CTranslate2's, of what has been read already."""
    from ctranslate2.converters import opennmt_py

    class OfRead(opennmt_py.OpenNMTPyConverter):  # type: ignore[misc]
        def _load(self) -> Any:
            sides = opennmt_py.get_vocabs(checkpoint["vocab"])
            opennmt_py.check_opt(checkpoint["opt"], num_source_embeddings=len(sides[0]))
            is_lm = checkpoint["opt"].decoder_type == "transformer_lm"
            make = opennmt_py._get_model_spec_lm if is_lm else opennmt_py._get_model_spec_seq2seq
            return make(checkpoint["opt"], weights, *sides, num_source_embeddings=len(sides[0]))

    return OfRead("")


def _not_known(options: Mapping[str, Any]) -> list[str]:
    """Options of OpenNMT-py that change what a model computes and that CTranslate2, or its converter, does not have."""
    faults = [f"{name} = {options[name]!r} is not known to it" for name in _UNKNOWN_OPTIONS if options.get(name)]
    if options.get("decoder_type") == "transformer_lm":
        return faults
    positions = options.get("max_relative_positions", 0)
    if positions in _POSITIONS_OF_LANGUAGE_MODELS:
        name = _POSITIONS_OF_LANGUAGE_MODELS[positions]
        faults.append(f"max_relative_positions = {positions} ({name}) is known to it of decoder-only models alone")
    if options.get("layer_norm", "standard") != "standard":
        faults.append(f"layer_norm = {options['layer_norm']!r} is known to it of decoder-only models alone")
    if options.get("num_kv", 0) not in (0, options.get("heads", 8)):
        faults.append(f"num_kv = {options['num_kv']} is known to it of decoder-only models alone")
    return faults


def _for_ctranslate2(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The same model in the converter's words, with no more positions than CTranslate2 uses."""
    if getattr(checkpoint["opt"], "self_attn_type", _PLAIN_ATTENTION) == _FLASH_ATTENTION:
        checkpoint["opt"].self_attn_type = _PLAIN_ATTENTION
    weights = {
        name: value[:POSITIONS].clone() if name.endswith(_POSITIONS_SUFFIX) else value
        for name, value in checkpoint["model"].items()
    }
    return {**{key: checkpoint[key] for key in ("generator", "vocab", "opt")}, "model": weights}
