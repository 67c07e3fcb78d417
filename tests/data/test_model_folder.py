"""Model folders: against the library that wrote them, against PyTorch's own count, and broken in every way."""

import json
import shutil
from pathlib import Path

import pytest

from data.errors import ModelError
from data.model_file import read_model_file
from data.model_folder import (
    describe_model,
    end_of,
    load_teacher_info,
    model_digest,
    model_faults,
    read_vocabulary,
    save_teacher_info,
    vocabulary_digest,
)
from tests.fixtures.tiny_language_model import LanguageModelShape, write_tiny_language_model
from tests.fixtures.tiny_teacher import TinyShape, random_weights


@pytest.fixture
def folder(tiny_teacher: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_teacher, tmp_path / "model")


@pytest.mark.parametrize("quantization", ["int8", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "int16"])
def test_parameters_are_those_of_the_checkpoint_whatever_the_quantization(
    tiny_teacher: Path, tmp_path: Path, quantization: str
) -> None:
    from stages.loaded_model.conversion import convert_checkpoint

    convert_checkpoint(tiny_teacher / "checkpoint.pt", tmp_path / "model", quantization=quantization)
    info = describe_model(tmp_path / "model", "opennmt")
    weights = random_weights(TinyShape(), seed=0)
    distinct = {id(value): value for name, value in weights.items() if not name.endswith(".pe")}
    assert info.parameters == sum(value.size for value in distinct.values())
    assert info.quantization == quantization
    assert read_model_file(tmp_path / "model" / "model.bin").positions("decoder") == 1024


def test_learned_positions_count(tmp_path: Path) -> None:
    import numpy as np
    from ctranslate2.specs import transformer_spec

    spec = transformer_spec.PositionEncoderSpec()
    spec.encodings = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    spec.validate()
    _serialise(spec.variables("encoder/position_encodings"), tmp_path / "model.bin")
    assert read_model_file(tmp_path / "model.bin").parameters() == 50 * 16


def _serialise(variables: dict, path: Path) -> None:  # type: ignore[type-arg]
    import struct

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", 6), text("TransformerSpec"), struct.pack("<II", 7, len(variables))]
    for name, value in variables.items():
        array = value.numpy()
        parts += [text(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        parts += [struct.pack("<BI", 0, array.nbytes), array.tobytes()]
    path.write_bytes(b"".join([*parts, struct.pack("<I", 0)]))


def test_vocabulary_is_ctranslate2s(tiny_teacher: Path) -> None:
    assert read_vocabulary(tiny_teacher, "source") == TinyShape().vocabulary()
    assert read_vocabulary(tiny_teacher, "target") == TinyShape().vocabulary()


def test_old_vocabularies_are_text_and_may_hold_odd_separators(folder: Path) -> None:
    (folder / "shared_vocabulary.json").unlink()
    (folder / "source_vocabulary.txt").write_text("<unk>\n<s>\n</s>\nx\n", encoding="utf-8")
    (folder / "target_vocabulary.txt").write_text("<unk>\na\x85b\n</s>\n", encoding="utf-8")
    assert read_vocabulary(folder, "source") == ["<unk>", "<s>", "</s>", "x"]
    assert read_vocabulary(folder, "target") == ["<unk>", "a\x85b", "</s>"]


def test_digest_of_a_vocabulary_follows_order_and_borders() -> None:
    digests = {vocabulary_digest(tokens) for tokens in (["a", "b"], ["b", "a"], ["ab"], ["a,b"], ['a","b'])}
    assert len(digests) == 5


def test_info_survives_the_file_and_names_what_is_wrong(folder: Path) -> None:
    info = describe_model(folder, "transformers", source_prefix=["eng"], source_suffix=["</s>"], target_prefix=["deu"])
    save_teacher_info(folder, info)
    assert load_teacher_info(folder) == info
    content = json.loads((folder / "potstill.json").read_text())
    (folder / "potstill.json").write_text(json.dumps(content | {"parameters": -1}))
    with pytest.raises(ModelError, match=r"potstill\.json: parameters"):
        load_teacher_info(folder)
    (folder / "potstill.json").unlink()
    with pytest.raises(ModelError, match="kind = ctranslate2"):
        load_teacher_info(folder)


def test_digest_covers_what_the_model_computes_with_and_nothing_else(folder: Path) -> None:
    before = model_digest(folder)
    (folder / "checkpoint.pt").unlink()
    (folder / "notes.txt").write_text("x")
    assert model_digest(folder) == before
    content = bytearray((folder / "model.bin").read_bytes())
    content[-200] ^= 1
    (folder / "model.bin").write_bytes(content)
    assert model_digest(folder) != before


def test_a_whole_model_has_no_faults(tiny_teacher: Path) -> None:
    assert model_faults(tiny_teacher) == []


def test_faults_name_the_folder_and_the_way_out(folder: Path, tmp_path: Path) -> None:
    assert "no such folder" in model_faults(tmp_path / "nowhere")[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pytorch_model.bin").touch()
    assert "holds no model.bin but pytorch_model.bin" in model_faults(tmp_path / "other")[0]
    (folder / "shared_vocabulary.json").unlink()
    assert "no source vocabulary" in model_faults(folder)[0]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "ends in the middle"),
        (b"\x63\0\0\0" + b"x" * 100, "version 99"),
        (b"PK\x03\x04 a zip, perhaps", "version"),
        (b"\x06\0\0\0\xff\xff" + b"\xfe" * 10, "ends in the middle"),
        (b"\x06\0\0\0\x02\0\xfe\0" + b"\0" * 100, "no text"),
        (b"\x06\0\0\0\x02\0T\0\x07\0\0\0\0\0\0\0\0\0\0\0", "no weight matrix"),
    ],
)
def test_a_file_that_is_no_model_is_told_from_one(folder: Path, content: bytes, fault: str) -> None:
    (folder / "model.bin").write_bytes(content)
    assert fault in model_faults(folder)[0]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_a_model_cut_off_anywhere_is_a_fault(folder: Path, kept: float) -> None:
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(content[: int(len(content) * kept)])
    assert "damaged" in model_faults(folder)[0]


def test_a_model_of_speech_is_no_teacher(folder: Path) -> None:
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(content.replace(b"TransformerSpec", b"WhisperSpec....", 1))
    assert "expected TransformerSpec or TransformerDecoderSpec" in model_faults(folder)[0]


def test_a_language_model_has_one_vocabulary_for_both_sides(tmp_path: Path) -> None:
    folder = write_tiny_language_model(tmp_path / "model")
    assert model_faults(folder) == []
    info = describe_model(folder, "opennmt")
    weights = {name: value for name, value in random_weights(LanguageModelShape(), seed=0).items() if "decoder" in name}
    left_out = ("context_attn", "layer_norm_2", ".pe")
    own = sum(value.size for name, value in weights.items() if not any(part in name for part in left_out))
    size = len(LanguageModelShape().vocabulary())
    assert info.architecture == "decoder-only"
    # The output layer is not tied to the embeddings.
    assert info.parameters == own + size * LanguageModelShape().width + size
    assert read_vocabulary(folder, "source") == read_vocabulary(folder, "target")
    assert read_model_file(folder / "model.bin").positions("decoder") == 5000
    before = info.digest
    (folder / "vocabulary.json").write_text(json.dumps(["x"] * size))
    assert model_digest(folder) != before


def test_the_token_that_ends_a_translation(folder: Path, tmp_path: Path) -> None:
    assert end_of(folder) == "</s>"
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"end_token": "a3"}))
    assert end_of(folder) == "a3"
