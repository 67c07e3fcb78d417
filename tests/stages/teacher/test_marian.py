"""Marian's own models, of which there is no original to compare with: all of their weights, and their quantization."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from data.errors import ModelError
from data.runtime import Runtime
from stages.teacher import stage as teacher
from tests.fixtures.artifacts import new_artifact
from tests.fixtures.hub_models import write_marian

Weights = dict[str, Any]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_marian(tmp_path_factory.mktemp("marian") / "model")


def changed(given: Path, folder: Path, change: Callable[[Weights], Any], **options: Any) -> Path:
    """The same model with other weights or options."""
    folder.mkdir()
    for name in ("vocab.yml", "decoder.yml", "source.spm"):
        (folder / name).write_bytes((given / name).read_bytes())
    weights = dict(np.load(given / "model.npz"))
    told = {**yaml.safe_load(weights["special:model.yml"].tobytes()[:-1]), **options}
    weights["special:model.yml"] = np.frombuffer(yaml.safe_dump(told).encode() + b"\0", dtype=np.int8)
    change(weights)
    np.savez(folder / "model.npz", **weights)
    return folder


def run(path: Path, store: Path, quantization: str = "int8") -> dict[str, Any]:
    config = teacher.Config.model_validate({"kind": "marian", "path": str(path), "quantization": quantization})
    return teacher.run({}, config, new_artifact(store, "teacher"), Runtime())


def positions(weights: Weights) -> None:
    weights["Wpos"] = np.random.default_rng(0).normal(0, 0.3, (64, 16)).astype(np.float32)


def no_output_bias(weights: Weights) -> None:
    del weights["decoder_ff_logit_out_b"]


def half(weights: Weights) -> None:
    weights.update({name: value.astype(np.float16) for name, value in weights.items() if "special" not in name})


@pytest.mark.parametrize("change", [lambda weights: None, positions, no_output_bias, half])
@pytest.mark.parametrize("quantization", ["int8", "float32"])
def test_a_model_is_taken_with_all_of_its_weights(
    change: Callable[[Weights], Any], quantization: str, given: Path, tmp_path: Path
) -> None:
    metrics = run(changed(given, tmp_path / "model", change), tmp_path, quantization)
    assert metrics["agreement_after_quantization"] > 0.99
    assert "nats_from_original" not in metrics


@pytest.mark.parametrize(
    ("added", "named"),
    [
        ({"encoder_l1_ffn_W3": (24, 24), "encoder_l1_ffn_b3": (1, 24)}, "encoder_l1_ffn_W3, encoder_l1_ffn_b3"),
        ({"decoder_l1_self_Wg": (16, 16)}, "decoder_l1_self_Wg"),
        ({"Wemb_lemma": (10, 16)}, "Wemb_lemma"),
        ({"encoder_l2_ffn_W1": (16, 24)}, ", so the model"),
    ],
)
def test_weights_that_the_converter_leaves_out_are_named(
    added: dict[str, tuple[int, ...]], named: str, given: Path, tmp_path: Path
) -> None:
    weights = {name: np.ones(shape, np.float32) for name, shape in added.items()}
    folder = changed(given, tmp_path / "model", lambda found: found.update(weights))
    with pytest.raises(ModelError, match=rf"the converted model has \d+ weights and the original \d+: .*{named}"):
        run(folder, tmp_path)


def test_what_it_cannot_be_is_told(given: Path, tmp_path: Path) -> None:
    def broken(weights: Weights) -> None:
        weights["Wemb"][3, 3] = np.nan

    with pytest.raises(ModelError, match="Wemb holds what is no number: its training diverged"):
        run(changed(given, tmp_path / "a", broken), tmp_path)
    ssru = changed(given, tmp_path / "b", lambda weights: None, **{"transformer-decoder-autoreg": "rnn"})
    with pytest.raises(ModelError, match="--transformer-decoder-autoreg must be 'self-attention'"):
        run(ssru, tmp_path)
    (tmp_path / "model.intgemm.alphas.bin").write_bytes(b"\x01\0\0\0")
    named = {"kind": "marian", "path": str(tmp_path / "model.intgemm.alphas.bin"), "vocabularies": []}
    (fault,) = teacher.faults(teacher.Config.model_validate(named))
    assert "is a model for Marian's own decoder (.bin): name the .npz" in fault
