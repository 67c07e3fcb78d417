"""Sampled soft targets and tails at other temperatures, against the same weights in OpenNMT-py in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.artifact import Artifact
from data.drawn_targets import drawn
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, flat, tempered_tail, topk
from stages.score import stage as score
from tests.fixtures.artifacts import artifact_of_folder, words_tokenizer
from tests.fixtures.oracle import forced_log_probs
from tests.stages.score.test_score import BACKENDS, VOCABULARY, rows, table

BACKWARDS = pa.array(range(6, -1, -1))


@pytest.fixture(scope="module")
def artifacts(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    return {"teacher": artifact_of_folder(store, "teacher", tiny_teacher), "tokenizer": words_tokenizer(store)}


def run(artifacts: dict[str, Artifact], data: pa.Table, **options: Any) -> pa.Table:
    config = score.Config.model_validate({"precision": "float32", **options})
    return score.run(data, config, score.load(config, artifacts, Runtime()))


def sampled(artifacts: dict[str, Artifact], data: pa.Table, **options: Any) -> pa.Table:
    return run(artifacts, data, **{"mode": "sampled", "draws": 40, **options})


def expected_log_probs(artifacts: dict[str, Artifact]) -> npt.NDArray[np.float64]:
    """Of all positions of all rows, [N, V]."""
    checkpoint = artifacts["teacher"].path() / "checkpoint.pt"
    return np.concatenate([forced_log_probs(checkpoint, *pair) for pair in zip(*rows(), strict=True)])


def estimates(soft: pa.Table) -> npt.NDArray[np.float64]:
    """Counts over draws, [N, V]."""
    found = drawn(soft)
    shares = np.zeros((len(found.entries), len(VOCABULARY)))
    shares[np.repeat(np.arange(len(shares)), found.entries), found.ids] = found.counts
    return np.asarray(shares / SoftTargetFormat.of(soft.schema).draws)


@pytest.mark.parametrize("backend", BACKENDS)
def test_draws_estimate_the_teachers_distribution(artifacts: dict[str, Artifact], backend: str) -> None:
    soft = sampled(artifacts, table(*rows()), backend=backend, draws=1000)
    expected = np.exp(expected_log_probs(artifacts))
    found = estimates(soft)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    # An estimate's standard deviation is sqrt(p (1 - p) / draws); one of 1,500 beyond five of them is a fault.
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / 1000) + 0.003).all()
    # Summed over positions it is tighter: what is left out systematically would show.
    positions = len(expected)
    assert (np.abs((found - expected).mean(axis=0)) < 5 * np.sqrt(expected.mean(axis=0) / 1000 / positions)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_said_of_the_whole_distribution_is_as_with_topk(artifacts: dict[str, Artifact], backend: str) -> None:
    data = table(*rows())
    soft, kept = sampled(artifacts, data, backend=backend), run(artifacts, data, backend=backend)
    for name in ("token_log_probs", "entropy"):
        np.testing.assert_array_equal(flat(soft, name), flat(kept, name))
    both = score.count(soft), score.count(kept)
    assert {**both[0], "kept_mass": 0} == {**both[1], "kept_mass": 0}
    assert both[0]["kept_mass"] == both[0]["tokens"]
    told = SoftTargetFormat.of(soft.schema)
    assert (told.mode, told.k, told.draws, told.seed) == ("sampled", 0, 40, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_drawn_hangs_on_the_seed_and_the_rows_id_alone(artifacts: dict[str, Artifact], backend: str) -> None:
    data = table(*rows())
    soft = sampled(artifacts, data, backend=backend)
    assert sampled(artifacts, data, backend=backend, max_batch_tokens=1).equals(soft)
    assert sampled(artifacts, data.take(BACKWARDS), backend=backend).take(BACKWARDS).equals(soft)
    parts = [sampled(artifacts, part, backend=backend) for part in (data.slice(0, 3), data.slice(3))]
    assert pa.concat_tables(parts).equals(soft)
    other = sampled(artifacts, data, backend=backend, seed=2)
    assert not other["drawn_ids"].equals(soft["drawn_ids"])
    renamed = data.set_column(0, "id", pa.array([f"{number:032x}" for number in range(7, 14)]))
    assert not sampled(artifacts, renamed, backend=backend)["drawn_ids"].equals(soft["drawn_ids"])


def test_both_encodings_hold_the_same_draws(artifacts: dict[str, Artifact]) -> None:
    exact, small = (sampled(artifacts, table(*rows()), encoding=encoding) for encoding in ("exact", "compact"))
    np.testing.assert_array_equal(estimates(exact), estimates(small))
    assert score.count(exact) == score.count(small)


def test_a_shard_of_nothing(artifacts: dict[str, Artifact]) -> None:
    assert sampled(artifacts, table([], [])).num_rows == 0
    assert run(artifacts, table([], []), temperatures=[2.0]).num_rows == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [3, len(VOCABULARY) - 2])
def test_the_tail_at_other_temperatures_is_summed_over_the_tempered_tail(
    artifacts: dict[str, Artifact], backend: str, k: int
) -> None:
    soft = run(artifacts, table(*rows()), backend=backend, k=k, temperatures=[4.0, 0.5, 2.0])
    ids = topk(soft)[0].astype(np.int64)
    assert SoftTargetFormat.of(soft.schema).temperatures == (0.5, 2.0, 4.0)
    for temperature in (0.5, 2.0, 4.0):
        powers = np.exp(expected_log_probs(artifacts) / temperature)
        tail = powers.copy()
        np.put_along_axis(tail, ids, 0.0, axis=1)
        expected = np.log(tail.sum(axis=1) / powers.sum(axis=1))
        np.testing.assert_allclose(tempered_tail(soft, temperature), expected, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "sampled", "k": 16}, "k cannot be set where mode is 'sampled'"),
        ({"mode": "sampled", "temperatures": [2]}, "temperatures cannot be set"),
        ({"draws": 50, "seed": 1}, "draws, seed cannot be set where mode is 'topk'"),
        ({"temperatures": [1, 2]}, "must be different and not 1"),
        ({"temperatures": [2, 2]}, "must be different and not 1"),
        ({"temperatures": [0]}, "greater than 0"),
    ],
)
def test_options_of_another_mode_are_faults(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        score.Config.model_validate(options)
