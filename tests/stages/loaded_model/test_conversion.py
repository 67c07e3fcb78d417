"""Checkpoints against the same weights in float32, and checkpoints that mean harm."""

import os
from pathlib import Path

import ctranslate2
import pytest
import torch

from data.errors import ModelError
from stages.loaded_model.conversion import convert_checkpoint, read_checkpoint
from tests.fixtures.tiny_teacher import write_tiny_checkpoint


class Harmful:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.witness),)


def translate(folder: Path) -> list[list[str]]:
    translator = ctranslate2.Translator(str(folder), compute_type="float32")
    return [result.hypotheses[0] for result in translator.translate_batch([["a1", "a2"], ["a3"]], beam_size=3)]


def test_flash_attention_is_the_same_model(tmp_path: Path) -> None:
    for attention in ("scaled-dot", "scaled-dot-flash"):
        checkpoint = write_tiny_checkpoint(tmp_path / f"{attention}.pt", attention=attention)
        convert_checkpoint(checkpoint, tmp_path / attention, quantization="float32")
    assert translate(tmp_path / "scaled-dot") == translate(tmp_path / "scaled-dot-flash")
    assert read_checkpoint(tmp_path / "scaled-dot-flash.pt")["opt"].self_attn_type == "scaled-dot-flash"


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    content = read_checkpoint(write_tiny_checkpoint(tmp_path / "good.pt"))
    torch.save(content | {"optim": Harmful(tmp_path / "witness")}, tmp_path / "harmful.pt")
    with pytest.raises(ModelError, match="not loaded"):
        convert_checkpoint(tmp_path / "harmful.pt", tmp_path / "folder", quantization="int8")
    assert not (tmp_path / "witness").exists()


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pt: no such checkpoint"):
        read_checkpoint(tmp_path / "gone.pt")
    good = write_tiny_checkpoint(tmp_path / "good.pt")
    (tmp_path / "cut.pt").write_bytes(good.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"cut\.pt: cannot be read"):
        read_checkpoint(tmp_path / "cut.pt")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt: no OpenNMT-py checkpoint, it lacks model"):
        read_checkpoint(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.pt"):
        read_checkpoint(tmp_path / "text.pt")


def test_a_model_that_ctranslate2_cannot_run_is_named(tmp_path: Path) -> None:
    content = read_checkpoint(write_tiny_checkpoint(tmp_path / "good.pt"))
    content["opt"].encoder_type = "rnn"
    torch.save(content, tmp_path / "rnn.pt")
    with pytest.raises(ModelError, match=r"rnn\.pt: CTranslate2 cannot run this model: (.|\n)*encoder_type"):
        convert_checkpoint(tmp_path / "rnn.pt", tmp_path / "folder", quantization="int8")
