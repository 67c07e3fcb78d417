"""The suite's machinery at toy size: sizes against the bytes that are there, draws and divergence in closed form."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bench import scored, store
from bench.fixtures import Fixture
from data.drawn_targets import counted, drawn, pack_drawn
from data.soft_targets import SoftTargetFormat, pack, topk

LENGTHS = [3, 1, 4]
N, K, V = 8, 6, 300


@pytest.fixture(scope="module")
def soft() -> pa.Table:
    full = np.random.default_rng(1).dirichlet(np.full(V, 0.05), N) + 1e-9
    full /= full.sum(axis=1, keepdims=True)
    ids = np.argsort(-full, axis=1)[:, :K]
    kept = np.take_along_axis(full, ids, axis=1)
    return pack(
        row_ids=[f"{row:032x}" for row in range(len(LENGTHS))], lengths=LENGTHS, conditioning="hypothesis",
        topk_ids=ids, topk_log_probs=np.log(kept), tail_log_mass=np.log(1 - kept.sum(axis=1)),
        token_log_probs=np.log(kept[:, 0]), entropy=-(full * np.log(full)).sum(axis=1),
        target_format=SoftTargetFormat(
            k=K, vocabulary_size=V, ids_dtype="uint16", vocabulary_digest="v", teacher_digest="t",
            compute_type="int8", backend="ctranslate2",
        ),
    )  # fmt: skip


def test_what_is_cut_off_goes_to_the_tail(soft: pa.Table) -> None:
    ids, log_probs, tail = topk(scored.cut(soft, 2, "exact"))
    np.testing.assert_array_equal(ids, topk(soft)[0][:, :2])
    masses = np.exp(log_probs.astype(float)).sum(axis=1) + np.exp(tail.astype(float))
    np.testing.assert_allclose(masses, 1.0, atol=2e-3)


def test_divergence_is_that_of_two_coins() -> None:
    def coin(probability: float) -> pa.Table:
        shape = SoftTargetFormat(
            k=1, vocabulary_size=2, ids_dtype="uint16", vocabulary_digest="v", teacher_digest="t",
            compute_type="int8", backend="torch",
        )  # fmt: skip
        values: dict[str, Any] = {"token_log_probs": np.zeros(1), "entropy": np.zeros(1)}
        return pack(
            row_ids=["0" * 32], lengths=[1], conditioning="hypothesis", topk_ids=np.zeros((1, 1), int),
            topk_log_probs=np.log([[probability]]), tail_log_mass=np.log([1 - probability]), target_format=shape,
            **values,
        )  # fmt: skip

    expected = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    assert store.divergence(coin(0.75), coin(0.5))[0] == pytest.approx(expected, abs=1e-3)


def test_draws_are_measured_in_both_encodings_of_the_same() -> None:
    ids = np.sort(np.random.default_rng(2).integers(0, V, (N, 50)).astype(np.int32), axis=1)
    sampled = pack_drawn(
        row_ids=[f"{row:032x}" for row in range(len(LENGTHS))], lengths=LENGTHS, conditioning="hypothesis",
        drawn=counted(ids), token_log_probs=np.full(N, -1.0), entropy=np.ones(N),
        target_format=SoftTargetFormat(
            mode="sampled", k=0, draws=50, seed=1, vocabulary_size=V, ids_dtype="uint16", vocabulary_digest="v",
            teacher_digest="t", compute_type="int8", backend="ctranslate2",
        ),
    )  # fmt: skip
    distinct = sum(len(set(position)) for position in ids.tolist())
    records = {one.name: one for one in store.measure_draws(Fixture("demo", {}, ()), sampled)}
    for encoding in ("exact", "compact"):
        np.testing.assert_array_equal(drawn(scored.drawn_in(sampled, encoding)).ids, drawn(sampled).ids)
        one = records[f"bytes_per_token_{encoding}_50_draws"]
        assert one.value == pytest.approx(one.detail["bytes"] / N)
        assert one.detail["distinct_per_token"] == distinct / N
        assert records[f"bytes_per_entry_{encoding}_50_draws"].value == pytest.approx(one.detail["bytes"] / distinct)


def test_text_alone_is_read_without_soft_targets(soft: pa.Table) -> None:
    names = ("source", "reference")
    table = soft
    for name in names:
        table = table.append_column(name, pa.array(["a text"] * len(LENGTHS)))
    assert store.soft_bytes_read(table, list(names))[0] == 0
    some, read = store.soft_bytes_read(table, ["topk_ids"])
    assert 0 < some == store.column_bytes(table)["topk_ids"] <= read


def test_figures_of_a_shard(soft: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", (2, 4))
    records = {one.name: one for one in store.measure_size(Fixture("demo", {}, ()), soft)}
    one = records["bytes_per_token_compact_k4"]
    assert one.value == pytest.approx(one.detail["bytes"] / N)
    assert records["bytes_per_entry_compact_k4"].value == pytest.approx(one.value / 4)
    assert 0 < records["compact_kl_k4"].value < 2e-3
