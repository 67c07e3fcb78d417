"""From an OpenNMT-py checkpoint to a CTranslate2 folder, safely: no code in the checkpoint can run."""

import argparse
import pickle
import tempfile
from pathlib import Path
from typing import Any

from data.errors import ModelError

# Both name the same weights; CTranslate2's converter knows only the second, OpenNMT-py's default is the first.
_FLASH_ATTENTION, _PLAIN_ATTENTION = "scaled-dot-flash", "scaled-dot"
# CTranslate2 cuts sources at 1,024 tokens and targets at 256 unless told otherwise; OpenNMT-py's table of 5,000
# positions, kept in 32 bits, would be two thirds of a small model's file.
_POSITIONS_SUFFIX, POSITIONS = ".make_embedding.pe.pe", 1024


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
    if missing:
        raise ModelError(f"{path}: no OpenNMT-py checkpoint, it lacks {', '.join(missing)}; pass one of OpenNMT-py 3")
    return dict(content)


def convert_checkpoint(path: Path, folder: Path, *, quantization: str) -> None:
    """Write `folder` (replaced if it is there) as a CTranslate2 model of `quantization`.

    Raises ModelError when the file is no OpenNMT-py transformer that CTranslate2 can run.
    """
    import torch
    from ctranslate2.converters import OpenNMTPyConverter

    with tempfile.TemporaryDirectory(prefix="potstill-convert-") as scratch:
        readable = Path(scratch) / "checkpoint.pt"
        torch.save(_for_ctranslate2(read_checkpoint(path)), readable)
        try:
            with torch.serialization.safe_globals([argparse.Namespace]):
                OpenNMTPyConverter(str(readable)).convert(str(folder), quantization=quantization, force=True)
        except (ValueError, KeyError, NotImplementedError, AttributeError) as error:
            raise ModelError(f"{path}: CTranslate2 cannot run this model: {error}") from error


def _for_ctranslate2(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The same model in the converter's words, with no more positions than CTranslate2 uses."""
    if getattr(checkpoint["opt"], "self_attn_type", _PLAIN_ATTENTION) == _FLASH_ATTENTION:
        checkpoint["opt"].self_attn_type = _PLAIN_ATTENTION
    weights = {
        name: value[:POSITIONS].clone() if name.endswith(_POSITIONS_SUFFIX) else value
        for name, value in checkpoint["model"].items()
    }
    return {**{key: checkpoint[key] for key in ("generator", "vocab", "opt")}, "model": weights}
