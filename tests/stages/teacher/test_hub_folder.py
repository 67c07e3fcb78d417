"""Folders that people name as models, and that are something else: told in words before anything is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import ModelError
from data.runtime import Runtime
from stages.teacher import stage as teacher
from stages.teacher.hub_folder import hub_model_faults
from tests.fixtures.artifacts import new_artifact

_LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def shard(tensors: int = 8) -> bytes:
    """A safetensors file of some float32 numbers."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [tensors], "data_offsets": [0, 4 * tensors]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * (4 * tensors)


def index(*names: str) -> dict[str, Any]:
    return {"weight_map": {str(number): name for number, name in enumerate(names)}}


FOLDERS: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({}, "is empty and holds no config.json"),
    "adapter": (
        {"adapter_config.json": {"base_model_name_or_path": "some/base"}, "adapter_model.safetensors": shard()},
        r"is an adapter .* those of some/base: put the two together with peft's merge_and_unload",
    ),
    "GGUF": ({"model-Q4_K_M.gguf": b"GGUF"}, r"has weights of llama\.cpp \(GGUF\) and no config\.json: name the model"),
    "ONNX": (
        {"config.json": {"model_type": "marian"}, "onnx/encoder_model.onnx": b"x"},
        "has an export to ONNX and no weights for PyTorch",
    ),
    "TensorFlow": (
        {"config.json": {"model_type": "marian"}, "tf_model.h5": b"x"},
        "has weights of TensorFlow and no weights for PyTorch",
    ),
    "sentence-transformers": (
        {"modules.json": [], "config.json": {"model_type": "xlm-roberta"}, "model.safetensors": shard()},
        "is a model of sentence-transformers, which makes vectors of texts",
    ),
    "converted": (
        {"config.json": {"bos_token": "<s>"}, "model.bin": b"x"},
        r"has been converted already, into model\.bin: set teacher\.kind to 'ctranslate2'",
    ),
    "GPTQ": (
        {"config.json": {**_LLAMA, "quantization_config": {"quant_method": "gptq"}}, "model.safetensors": shard()},
        r"were quantised already \(quantization_config: gptq\): name the model that it was made from",
    ),
    "AWQ": (
        {"config.json": {**_LLAMA, "quantization_config": {"quant_method": "awq"}}, "model.safetensors": shard()},
        r"\(quantization_config: awq\)",
    ),
    "shard missing": (
        {
            "config.json": _LLAMA,
            "model.safetensors.index.json": index(
                "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
            ),
            "model-00001-of-00002.safetensors": shard(),
        },
        r"lacks model-00002-of-00002\.safetensors, which model\.safetensors\.index\.json lists",
    ),
    "cut off": ({"config.json": _LLAMA, "model.safetensors": shard()[:-3]}, r"where \d+ belong: it was cut off"),
    "damaged": ({"config.json": _LLAMA, "model.safetensors": b"no weights at all"}, "was cut off, or is damaged"),
    "Git LFS": (
        {"config.json": _LLAMA, "model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"},
        r"has a pointer of Git LFS in place of model\.safetensors \(run git lfs pull\)",
    ),
    "weights missing": ({"config.json": _LLAMA}, r"has a config\.json and no weights"),
    "reward model": (
        {"config.json": {**_LLAMA, "architectures": ["LlamaForSequenceClassification"]}, "model.safetensors": shard()},
        "is a LlamaForSequenceClassification, which judges or reads texts and writes none",
    ),
    "ByT5": (
        {
            "config.json": {"model_type": "t5"},
            "tokenizer_config.json": {"tokenizer_class": "ByT5Tokenizer"},
            "model.safetensors": shard(),
        },
        r"reads and writes bytes \(ByT5\)",
    ),
    "no type": ({"config.json": {}, "model.safetensors": shard()}, "without model_type"),
    "no object": ({"config.json": [1], "model.safetensors": shard()}, "without model_type"),
}
OTHER_TYPES = {
    **{"NLLB-MoE": "nllb-moe", "SeamlessM4T": "seamless_m4t_v2", "Whisper": "whisper", "BERT": "bert", "XGLM": "xglm"},
    **{"Cohere": "cohere", "Mixtral": "mixtral", "StarCoder 2": "starcoder2", "OLMo": "olmo", "LongT5": "longt5"},
    **{
        "DeepSeek": "deepseek_v3",
        "GLM": "glm",
        "Granite": "granite",
        "Qwen 2 MoE": "qwen2_moe",
        "ProphetNet": "prophetnet",
    },
}


def write(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_it_is_is_told_by_plan_and_by_the_run(kind: str, tmp_path: Path) -> None:
    files, told = FOLDERS[kind]
    folder = write(tmp_path / "given", files)
    config = teacher.Config(kind="transformers", path=str(folder))
    (fault,) = teacher.faults(config)
    assert fault.startswith(f"teacher.path: {folder} ")
    with pytest.raises(ModelError, match=told) as raised:
        teacher.run({}, config, new_artifact(tmp_path, "teacher"), Runtime())
    assert str(raised.value) == fault.removeprefix("teacher.path: ")


@pytest.mark.parametrize("name", OTHER_TYPES)
def test_types_that_are_not_converted_are_named(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "given", {"config.json": {"model_type": OTHER_TYPES[name]}, "model.safetensors": shard()})
    (fault,) = hub_model_faults(folder)
    assert f"is a model of the type {OTHER_TYPES[name]!r}, which CTranslate2 does not convert" in fault


@pytest.mark.parametrize("kind", ["phi", "mpt"])
def test_types_of_older_code_are_named(kind: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "given", {"config.json": {"model_type": kind}, "model.safetensors": shard()})
    assert "only from its makers' own code" in hub_model_faults(folder)[0]


def test_a_whole_model_has_no_faults(tmp_path: Path) -> None:
    files = {"config.json": _LLAMA, "model.safetensors.index.json": index("a.safetensors"), "a.safetensors": shard()}
    assert hub_model_faults(write(tmp_path / "given", files)) == []
    older = {"config.json": {"model_type": "marian"}, "pytorch_model.bin": b"x", "adapter_config.json": {}}
    assert hub_model_faults(write(tmp_path / "older", older)) == []
