"""What a folder that is named as a model of transformers holds, told before anything of it is loaded."""

import json
import re
from pathlib import Path
from typing import Any

from data.model_folder import MODEL_FILE

# model_type of what CTranslate2 converts and makes texts with.
HUB_TYPES = frozenset(
    {
        *("bart", "bloom", "codegen", "falcon", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma4", "gemma4_text"),
        *("gemma4_unified", "gemma4_unified_text", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "llama", "m2m_100"),
        *("marian", "mbart", "mistral", "mpt", "mt5", "opt", "pegasus", "phi", "phi3", "qwen2", "qwen3"),
        *("RefinedWebModel", "t5", "t5gemma", "t5gemma2", "umt5"),
    }
)
# Of these, only in the shape that code in the model's own folder had, which is not run here.
_OF_OLDER_CODE = ("mpt", "phi", "RefinedWebModel")
_CONFIG = "config.json"
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_ADAPTER = "adapter_config.json"
# Of other libraries, with what to do about them.
_OTHERS = {
    "*.gguf": "weights of llama.cpp (GGUF)",
    "*.onnx": "an export to ONNX",
    "onnx/*.onnx": "an export to ONNX",
    "openvino_model.*": "an export to OpenVINO",
    "tf_model*.h5": "weights of TensorFlow",
    "flax_model*.msgpack": "weights of Flax",
}
_ORIGINAL = "name the model that it was made from, with its weights for PyTorch (*.safetensors)"
# Classes that read texts, and write none.
_READERS = re.compile(
    r"\w+(?:ForSequenceClassification|ForTokenClassification|ForQuestionAnswering|ForMaskedLM|ForMultipleChoice|"
    r"EncoderModel|ForSpeechSeq2Seq|RewardModel)"
)
_POINTER = b"version https://git-lfs"
_HEADER = 8


def hub_model_faults(folder: Path) -> list[str]:
    """Why a local folder is no model of transformers that can teach; a line at most. Reads headers."""
    fault = _other_kind(folder) or _of_config(folder) or _of_weights(folder)
    return [f"{folder} {fault}"] if fault else []


def _other_kind(folder: Path) -> str:
    """Of folders that are another thing altogether."""
    if not any(folder.iterdir()):
        return "is empty and holds no config.json: fetch the model again"
    if (folder / _ADAPTER).is_file() and not _weights(folder):
        base = _content(folder / _ADAPTER).get("base_model_name_or_path") or "another model"
        return (
            f"is an adapter ({_ADAPTER}), a few weights to be added to those of {base}: put the two together with "
            "peft's merge_and_unload(), save model and tokenizer, and name that folder"
        )
    if (folder / "modules.json").is_file():
        return "is a model of sentence-transformers, which makes vectors of texts and no translations: name another"
    if (folder / MODEL_FILE).is_file() and not _weights(folder):
        return f"has been converted already, into {MODEL_FILE}: set teacher.kind to 'ctranslate2'"
    if not (folder / _CONFIG).is_file():
        found = _of_other_library(folder)
        return f"has {found} and no {_CONFIG}: {_ORIGINAL}" if found else f"holds no {_CONFIG}: it is no model"
    return ""


def _of_config(folder: Path) -> str:
    try:
        content = json.loads((folder / _CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        return f"has a {_CONFIG} that cannot be read: {error}; fetch the model again"
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind is None:
        return f"has a {_CONFIG} without model_type, so that it is no model of transformers: check teacher.kind"
    if kind not in HUB_TYPES:
        return (
            f"is a model of the type {kind!r}, which CTranslate2 does not convert into one that writes texts; it "
            f"converts {', '.join(sorted(HUB_TYPES))}"
        )
    if kind in _OF_OLDER_CODE:
        return (
            f"is a model of the type {kind!r}, which CTranslate2 converts only from its makers' own code: name another"
        )
    if quantized := content.get("quantization_config"):
        how = quantized.get("quant_method", "unknown") if isinstance(quantized, dict) else "unknown"
        return (
            f"has weights that were quantised already (quantization_config: {how}): {_ORIGINAL}; "
            "teacher.quantization says what it is to compute with"
        )
    wrong = [name for name in content.get("architectures") or () if _READERS.fullmatch(str(name))]
    if wrong:
        return f"is a {wrong[0]}, which judges or reads texts and writes none: name the model that writes"
    if _content(folder / "tokenizer_config.json").get("tokenizer_class") == "ByT5Tokenizer":
        return "reads and writes bytes (ByT5), for which Potstill has no tokenizer: name a model with subwords"
    return ""


def _of_weights(folder: Path) -> str:
    """Weights that are not there, or not whole."""
    for name in _INDEXES:
        shards = _content(folder / name).get("weight_map") or {}
        if missing := sorted({str(shard) for shard in shards.values()} - {path.name for path in folder.iterdir()}):
            return f"lacks {', '.join(missing)}, which {name} lists: fetch the model again"
    found = _weights(folder)
    if not found:
        other = _of_other_library(folder)
        return f"has {other} and no weights for PyTorch: {_ORIGINAL}" if other else (
            f"has a {_CONFIG} and no weights ({', '.join(_WEIGHTS)}): fetch the model again"
        )  # fmt: skip
    broken = [fault for path in found if (fault := _damage(path))]
    return f"{broken[0]}: fetch the model again" if broken else ""


def _weights(folder: Path) -> list[Path]:
    found = {path for pattern in _WEIGHTS for path in folder.glob(pattern)}
    return sorted(path for path in found if not path.name.startswith("adapter_"))


def _damage(path: Path) -> str:
    """Whether a file is cut off, or is what git keeps in place of a large one."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(len(_POINTER))
        if head == _POINTER:
            return f"has a pointer of Git LFS in place of {path.name} (run git lfs pull)"
        if path.suffix != ".safetensors":
            return "" if size else f"has an empty {path.name}"
        stream.seek(0)
        length = int.from_bytes(stream.read(_HEADER), "little")
        if size < _HEADER or length > size - _HEADER:
            return f"has a {path.name} that was cut off, or is damaged"
        try:
            tensors = json.loads(stream.read(length))
            end = max((each["data_offsets"][1] for name, each in tensors.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return f"has a {path.name} that is damaged"
    if size < _HEADER + length + end:
        return f"has a {path.name} of {size} bytes where {_HEADER + length + end} belong: it was cut off"
    return ""


def _of_other_library(folder: Path) -> str:
    return next((name for pattern, name in _OTHERS.items() if any(folder.glob(pattern))), "")


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
