"""The random fixture: hypotheses have the length that was asked for, and both formats hold the same weights."""

import numpy as np
import pytest

from bench import fixtures
from data.runtime import Runtime
from stages.decode import stage as decode
from stages.training.config import ModelConfig
from tests.fixtures.oracle import forced_log_probs

SMALL = ModelConfig(encoder_layers=2, decoder_layers=2, width=32, heads=2, feed_forward=64, tie_output=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> fixtures.Fixture:
    folder = tmp_path_factory.mktemp("base")
    return fixtures.transformer_base(
        folder, rows=12, target_length=7, quantization="float32", model=SMALL, vocabulary=300
    )


def test_every_hypothesis_has_the_length_that_was_asked_for(small: fixtures.Fixture) -> None:
    config = decode.Config.model_validate(small.decode)
    result = decode.run(small.table(), config, decode.load(config, small.artifacts, Runtime()))
    lengths = {len(one["tokens"]) for row in result.column("hypotheses").to_pylist() for one in row}
    assert (result.num_rows, lengths) == (12, {7})


def test_the_checkpoint_has_the_converted_models_weights(small: fixtures.Fixture) -> None:
    config = decode.Config.model_validate({**small.decode, "length_penalty": 0.0})
    table = small.table().slice(0, 3)
    result = decode.run(table, config, decode.load(config, small.artifacts, Runtime()))
    words = [f"w{number}" for number in range(296)]
    for source, row in zip(table["source"].to_pylist(), result["hypotheses"].to_pylist(), strict=True):
        best = row[0]
        log_probs = forced_log_probs(small.teacher() / "checkpoint.pt", source.split(), best["tokens"])
        ids = [4 + words.index(token) for token in best["tokens"]]
        assert best["score"] == pytest.approx(float(log_probs[np.arange(7), ids].sum()), abs=1e-3)
