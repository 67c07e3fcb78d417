"""Packed soft targets against Python's own `struct`, and errors for what does not fit."""

import io
import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.errors import DataError
from data.parquet import decode, encode
from data.soft_targets import SoftTargetFormat, flat, pack, row_lengths, smallest_ids_dtype, tempered_tail, unpack

LENGTHS = [2, 1, 3]
N, K = 6, 2


def _format(**changes: Any) -> SoftTargetFormat:
    fields = {
        "k": K,
        "vocabulary_size": 60_000,
        "ids_dtype": "uint16",
        "vocabulary_digest": "v",
        "teacher_digest": "t",
        "compute_type": "int8",
        "backend": "ctranslate2",
    }
    return SoftTargetFormat.model_validate({**fields, **changes})


def _positions(**changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(3)
    positions: dict[str, Any] = {
        "row_ids": ["a", "b", "c"],
        "lengths": LENGTHS,
        "conditioning": ["hypothesis", "reference", "hypothesis"],
        "topk_ids": random.integers(0, 60_000, (N, K)),
        "topk_log_probs": -np.sort(random.exponential(2.0, (N, K)).astype(np.float32), axis=1),
        "tail_log_mass": -random.exponential(2.0, N).astype(np.float32),
        "token_log_probs": -random.exponential(2.0, N).astype(np.float32),
        "entropy": random.exponential(2.0, N).astype(np.float32),
        "target_format": _format(),
    }
    return {**positions, **changes}


@pytest.mark.parametrize(("ids_dtype", "code"), [("uint16", "H"), ("uint32", "I")])
def test_bytes_are_little_endian_row_by_row(ids_dtype: str, code: str) -> None:
    positions = _positions(target_format=_format(ids_dtype=ids_dtype))
    table = pack(**positions)
    for row, (start, end) in enumerate([(0, 2), (2, 3), (3, 6)]):
        ids = positions["topk_ids"][start:end].reshape(-1)
        assert table["topk_ids"][row].as_py() == struct.pack(f"<{len(ids)}{code}", *ids)
        for name in ("topk_log_probs", "tail_log_mass", "token_log_probs", "entropy"):
            values = positions[name][start:end].reshape(-1)
            assert table[name][row].as_py() == struct.pack(f"<{len(values)}e", *values)
    assert table["length"].to_pylist() == LENGTHS


@pytest.mark.parametrize("chunks", [1, 3])
def test_what_is_packed_is_unpacked_after_a_journey_through_parquet(chunks: int) -> None:
    positions = _positions()
    table = decode(io.BytesIO(encode(pack(**positions))), None, "x")
    table = pa.concat_tables([table.slice(n, math.ceil(3 / chunks)) for n in range(0, 3, math.ceil(3 / chunks))])
    rows = unpack(table)
    assert [row.topk_ids.shape for row in rows] == [(2, 2), (1, 2), (3, 2)]
    assert [row.entropy.dtype for row in rows] == [np.float16] * 3
    for name in ("topk_ids", "topk_log_probs", "tail_log_mass", "token_log_probs", "entropy"):
        together = np.concatenate([getattr(row, name) for row in rows])
        np.testing.assert_array_equal(together, positions[name].astype(together.dtype))
        np.testing.assert_array_equal(together, flat(table, name))
    np.testing.assert_array_equal(row_lengths(table), LENGTHS)
    assert SoftTargetFormat.of(table.schema) == _format()


def test_a_slice_is_unpacked_alone_and_no_rows_are_no_error() -> None:
    table = pack(**_positions())
    np.testing.assert_array_equal(unpack(table.slice(1, 1))[0].topk_ids, unpack(table)[1].topk_ids)
    np.testing.assert_array_equal(flat(table.slice(1), "entropy"), flat(table, "entropy")[2:])
    assert unpack(table.slice(3)) == []
    assert unpack(table.schema.empty_table()) == []


def test_one_column_is_read_without_the_others() -> None:
    table = pack(**_positions()).select(["length", "entropy"])
    assert flat(table, "entropy").shape == (N,)


def test_an_empty_tail_is_minus_infinity() -> None:
    table = pack(**_positions(tail_log_mass=np.full(N, -np.inf)))
    assert np.isneginf(flat(table, "tail_log_mass")).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": [2, 1, 4]}, r"topk_ids has shape \[6, 2\]; expected \[7, 2\]"),
        ({"lengths": [3, 0, 3]}, "expected one >= 1 a row"),
        ({"lengths": [3, 3]}, "3 rows with 2 lengths"),
        ({"target_format": _format(k=3)}, r"topk_ids has shape \[6, 2\]; expected \[6, 3\]"),
        ({"entropy": np.zeros((N, 1))}, r"entropy has shape \[6, 1\]; expected \[6\]"),
        ({"topk_ids": np.full((N, K), 60_000)}, r"topk_ids lie in 60000 \.\. 60000; expected 0 \.\. 59999"),
        ({"topk_ids": np.full((N, K), -1)}, "topk_ids lie in -1"),
        ({"topk_ids": np.zeros((N, K))}, "topk_ids are float64; expected integers"),
        (
            {"topk_log_probs": np.full((N, K), 3.5)},
            "a log-probability is 3.5; expected at most 0: are these raw logits",
        ),
        ({"topk_log_probs": np.tile([-2.0, -1.0], (N, 1))}, "topk_log_probs are not sorted"),
        ({"entropy": np.full(N, np.nan)}, "entropy holds values that are no numbers"),
        ({"conditioning": ["reference"]}, "3 rows with 1 values of conditioning"),
        (
            {"target_format": _format(temperatures=[2.0])},
            r"tempered_tail_log_mass has shape \[6, 0\]; expected \[6, 1",
        ),
        ({"tempered_tail_log_mass": np.zeros((N, 1))}, r"tempered_tail_log_mass has shape \[6, 1\]; expected \[6, 0"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pack(**_positions(**changes))


@pytest.mark.parametrize("name", ["topk_ids", "topk_log_probs", "tail_log_mass"])
def test_a_row_whose_bytes_do_not_fit_its_length_is_named(name: str) -> None:
    table = pack(**_positions())
    values = table[name].to_pylist()
    values[1] += values[1][:2]
    damaged = table.set_column(
        table.schema.get_field_index(name), table.schema.field(name), [pa.array(values, pa.binary())]
    )
    with pytest.raises(DataError, match=rf"row b: {name} has \d+ bytes; expected \d+ \(T( \* K)? \* item size\)"):
        flat(damaged, name)


def test_bytes_are_not_read_with_another_k() -> None:
    table = pack(**_positions())
    with pytest.raises(DataError, match="topk_ids has 8 bytes; expected 12"):
        unpack(table.cast(_format(k=3).attach(table.schema)))


def test_a_table_without_the_format_is_refused() -> None:
    table = pack(**_positions())
    with pytest.raises(DataError, match=r"metadata lacks potstill\.soft_targets; run the stage score"):
        unpack(table.replace_schema_metadata(None))
    with pytest.raises(DataError, match=r"potstill\.soft_targets cannot be read"):
        unpack(table.replace_schema_metadata({"potstill.soft_targets": "{}"}))


@pytest.mark.parametrize(("size", "dtype"), [(1, "uint16"), (65_536, "uint16"), (65_537, "uint32")])
def test_the_smallest_type_still_holds_the_last_id(size: int, dtype: str) -> None:
    assert smallest_ids_dtype(size) == dtype
    assert np.iinfo(dtype).max >= size - 1


def test_the_format_goes_with_a_join_and_leaves_other_metadata_alone() -> None:
    schema = _format().attach(pa.schema([], metadata={"other": "kept"}))
    assert schema.metadata[b"other"] == b"kept"
    assert SoftTargetFormat.of(schema) == _format()


def test_what_was_forced_is_told_row_by_row() -> None:
    assert pack(**_positions())["conditioning"].to_pylist() == ["hypothesis", "reference", "hypothesis"]
    assert pack(**_positions(conditioning="reference"))["conditioning"].to_pylist() == ["reference"] * 3


@pytest.mark.parametrize("encoding", ["exact", "compact"])
def test_the_tail_is_known_at_the_temperatures_that_were_kept(encoding: str) -> None:
    tails = -np.random.default_rng(4).exponential(2.0, (N, 2)).astype(np.float32)
    kept = _format(temperatures=[2.0, 4.0], encoding=encoding)
    table = pack(**_positions(target_format=kept, tempered_tail_log_mass=tails))
    for place, temperature in enumerate((2.0, 4.0)):
        found = tempered_tail(table, temperature)
        np.testing.assert_allclose(found, tails[:, place], rtol=0.02, atol=0.01)
    if encoding == "exact":
        assert table["tempered_tail_log_mass"][1].as_py() == struct.pack("<2e", *tails[2])
    with pytest.raises(DataError, match=r"exact at temperature 1, 2, 4 and not at 3: score again with score\.temp"):
        tempered_tail(table, 3.0)
    with pytest.raises(DataError, match="exact at temperature 1 and not at 2"):
        tempered_tail(pack(**_positions()), 2.0)


@pytest.mark.parametrize(
    "changes",
    [{"k": 0}, {"draws": 50}, {"mode": "sampled"}, {"mode": "sampled", "k": 0, "draws": 5, "temperatures": [2]}],
)
def test_a_format_has_the_numbers_of_its_mode(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mode (topk|sampled) with k"):
        _format(**changes)
