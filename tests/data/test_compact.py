"""The compact encoding against the exact one: the same ids, log-probabilities within what docs/contract.md promises."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import compact
from data.errors import DataError
from data.parquet import decode, encode
from data.soft_targets import SoftTargetFormat, flat, pack, topk, unpack


def soft_targets(full: Any, k: int, lengths: list[int], encoding: Any, vocabulary: int = 0) -> pa.Table:
    """Of distributions [N, V] in float64, the K largest entries; the second most probable token is forced."""
    ids = np.argsort(-full, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(full, ids, axis=1)
    rest = full.copy()
    np.put_along_axis(rest, ids, 0.0, axis=1)
    with np.errstate(divide="ignore"):
        tail = np.log(rest.sum(axis=1))
    size = vocabulary or full.shape[1]
    return pack(
        row_ids=[f"{row:032x}" for row in range(len(lengths))],
        lengths=lengths,
        conditioning="hypothesis",
        topk_ids=ids + size - full.shape[1],
        topk_log_probs=np.log(kept),
        tail_log_mass=tail,
        token_log_probs=np.log(kept[:, min(1, k - 1)]),
        entropy=-(full * np.log(full)).sum(axis=1),
        target_format=SoftTargetFormat(
            k=k,
            vocabulary_size=size,
            ids_dtype="uint16" if size <= 2**16 else "uint32",
            vocabulary_digest="v",
            teacher_digest="t",
            compute_type="int8",
            backend="ctranslate2",
            encoding=encoding,
        ),
    )


def distributions(seed: int, sharpness: float, vocabulary: int, positions: int) -> Any:
    logits = np.random.default_rng(seed).normal(0.0, sharpness, (positions, vocabulary))
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def divergence(exact: pa.Table, other: pa.Table) -> Any:
    """KL(exact || other) over K + 1 outcomes, by id, [N]."""
    sides = []
    for table in (exact, other):
        ids, log_probs, tail = topk(table)
        order = np.argsort(ids, axis=1)
        both = np.concatenate([np.take_along_axis(log_probs, order, axis=1), tail[:, None]], axis=1)
        both = np.maximum(both.astype(np.float64), -40.0)
        sides.append(both - np.log(np.exp(both).sum(axis=1, keepdims=True)))
    return (np.exp(sides[0]) * (sides[0] - sides[1])).sum(axis=1)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sharpness=st.floats(0.05, 6.0),
    vocabulary=st.integers(20, 300),
    k=st.integers(1, 20),
    above=st.sampled_from([0, 60_000, 200_000]),
)
def test_it_says_what_the_exact_encoding_says(seed: int, sharpness: float, vocabulary: int, k: int, above: int) -> None:
    full = distributions(seed, sharpness, vocabulary, 7)
    exact = soft_targets(full, k, [3, 4], "exact", vocabulary + above)
    table = soft_targets(full, k, [3, 4], "compact", vocabulary + above)

    ids, log_probs, tail = topk(table)
    true_ids, true_log_probs, true_tail = (values.astype(np.float64) for values in topk(exact))
    np.testing.assert_array_equal(np.sort(ids, axis=1), np.sort(true_ids, axis=1))
    np.testing.assert_array_equal(ids[:, 0], true_ids[:, 0])
    assert (np.diff(log_probs, axis=1) <= 0).all()
    found = np.take_along_axis(log_probs, np.argsort(ids, axis=1), axis=1).astype(np.float64)
    expected = np.take_along_axis(true_log_probs, np.argsort(true_ids, axis=1), axis=1)
    # 2.2%, as much again to move all to a sum of 1, a whole step for the first where it was tied, and f16's rounding.
    assert (np.abs(found - expected) <= 0.07 * (1 - expected)).all()
    visible = true_tail > -15
    np.testing.assert_allclose(tail[visible], true_tail[visible], rtol=0.02, atol=0.08)
    np.testing.assert_allclose(np.exp(found).sum(axis=1) + np.exp(tail.astype(np.float64)), 1.0, atol=3e-3)
    assert divergence(exact, table).mean() < 2e-3
    for name in ("token_log_probs", "entropy"):
        values = flat(exact, name).astype(np.float64)
        assert (np.abs(flat(table, name) - values) <= 0.008 * (1 + np.abs(values))).all()


def test_bytes_are_those_of_the_contracts_page() -> None:
    """Ids 3, 4 and 700 of 1,000, the last of them the most probable one."""
    full = np.full((1, 1000), 0.1 / 997)
    full[0, [3, 4, 700]] = 0.2, 0.1, 0.6
    row = soft_targets(full, 3, [1], "compact").to_pylist()[0]
    assert row["topk_ids"] == bytes([3, 0, 695 % 256])
    assert row["topk_ids_high"] == bytes([0, 0, 695 // 256])
    assert row["topk_log_probs"] == bytes(round(24 * np.log(1 - np.log(p))) for p in (0.2, 0.1, 0.6))
    assert row["tail_log_mass"] == bytes([round(80 * np.log(1 - np.log(0.1)))])
    assert row["token_log_probs"] == bytes([round(80 * np.log(1 - np.log(0.2)))])


@pytest.mark.parametrize("vocabulary", [2**16, 2**16 + 1, 2**24])
def test_the_first_and_the_last_id_of_a_vocabulary_come_back(vocabulary: int) -> None:
    full = np.array([[0.5, 0.3, 0.2]])
    table = soft_targets(full, 2, [1], "compact", vocabulary)
    assert topk(table)[0].tolist() == [[vocabulary - 3, vocabulary - 2]]
    low, high, codes = compact.encode_entries(np.array([[vocabulary - 1, 0]]), np.log([[0.5, 0.25]]))
    ids, *_ = compact.decode_entries(low, high, codes, np.zeros(1, np.uint8))
    assert ids.tolist() == [[vocabulary - 1, 0]]


def test_entries_that_share_a_byte_leave_the_first_its_place() -> None:
    log_probs = np.log([[0.2501, 0.25, 0.2499]])
    assert len(set(compact.to_bytes(-log_probs, compact.ENTRY_STEPS)[0])) == 1
    low, high, codes = compact.encode_entries(np.array([[30, 10, 20]]), log_probs)
    ids, _, _ = compact.decode_entries(low, high, codes, np.zeros(1, np.uint8))
    assert ids.tolist() == [[30, 10, 20]]


def test_nothing_left_for_the_tail_or_nearly_all_of_it() -> None:
    whole = soft_targets(np.array([[0.75, 0.25]]), 2, [1], "compact")
    np.testing.assert_allclose(np.exp(flat(whole, "topk_log_probs")[0].astype(float)), [0.75, 0.25], atol=0.01)
    assert flat(whole, "tail_log_mass")[0] < -20
    even = soft_targets(np.full((1, 4000), 1 / 4000), 1, [1], "compact")
    assert flat(even, "topk_log_probs")[0, 0] == pytest.approx(-np.log(4000), rel=0.03)
    assert flat(even, "tail_log_mass")[0] == pytest.approx(0.0, abs=1e-3)


def test_a_journey_through_parquet_in_pieces() -> None:
    full = distributions(1, 2.0, 50, 9)
    table = soft_targets(full, 4, [2, 3, 4], "compact")
    read = decode(io.BytesIO(encode(table)), None, "x")
    pieces = pa.concat_tables([read.slice(0, 1), read.slice(1)])
    for one, other in zip(unpack(pieces), unpack(table), strict=True):
        np.testing.assert_array_equal(one.topk_ids, other.topk_ids)
        np.testing.assert_array_equal(one.topk_log_probs, other.topk_log_probs)
        np.testing.assert_array_equal(one.entropy, other.entropy)
    assert flat(read.select(["length", "entropy"]), "entropy").shape == (9,)
    assert unpack(table.slice(3)) == []


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="an id occurs twice in the position 1"):
        compact.encode_entries(np.array([[1, 2], [5, 5]]), np.log([[0.5, 0.25]] * 2))
    with pytest.raises(DataError, match=r"room for 16777216 entries.*set score\.encoding to exact"):
        soft_targets(np.array([[0.5, 0.5]]), 1, [1], "compact", 2**24 + 1)
    table = soft_targets(distributions(1, 1.0, 9, 2), 2, [1, 1], "compact")
    place = table.schema.get_field_index("topk_ids_high")
    without = table.set_column(place, table.schema.field(place), pa.nulls(2, pa.binary()))
    with pytest.raises(DataError, match="topk_ids_high has 0 bytes; expected 2"):
        topk(without)
