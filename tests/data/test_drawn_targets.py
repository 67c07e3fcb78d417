"""Drawn soft targets against Python's own `Counter` and `struct`, and errors for what does not fit."""

import io
import struct
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from data.drawn_targets import Drawn, counted, drawn, pack_drawn
from data.errors import DataError
from data.parquet import decode, encode
from data.soft_targets import SoftTargetFormat, flat, pack, topk, unpack

LENGTHS = [2, 1, 3]
N, DRAWS = 6, 20
ENCODINGS = ("exact", "compact")


def sampled_format(**changes: Any) -> SoftTargetFormat:
    fields = {
        "mode": "sampled",
        "k": 0,
        "draws": DRAWS,
        "seed": 1,
        "vocabulary_size": 60_000,
        "ids_dtype": "uint16",
        "vocabulary_digest": "v",
        "teacher_digest": "t",
        "compute_type": "int8",
        "backend": "ctranslate2",
    }
    return SoftTargetFormat.model_validate({**fields, **changes})


def draws(vocabulary: int = 60_000, number: int = DRAWS) -> npt.NDArray[np.int64]:
    """Few ids at some positions, many at others, the largest among them."""
    random = np.random.default_rng(3)
    ids = [random.choice(random.integers(0, vocabulary, size), number) for size in (1, 2, 9, 300, 3, 40)]
    ids[2][0] = vocabulary - 1
    return np.sort(np.stack(ids), axis=1)


def packed(ids: npt.NDArray[np.int64] | None = None, **changes: Any) -> pa.Table:
    values: dict[str, Any] = {
        "row_ids": ["a", "b", "c"],
        "lengths": LENGTHS,
        "conditioning": "hypothesis",
        "drawn": counted(draws() if ids is None else ids),
        "token_log_probs": np.linspace(-3, 0, N),
        "entropy": np.linspace(0, 3, N),
        "target_format": sampled_format(),
    }
    return pack_drawn(**{**values, **changes})


def by_position(found: Drawn) -> list[dict[int, int]]:
    ends = np.cumsum(found.entries)
    spans = [slice(end - entries, end) for end, entries in zip(ends, found.entries, strict=True)]
    return [dict(zip(found.ids[at].tolist(), found.counts[at].tolist(), strict=True)) for at in spans]


def test_ids_are_counted() -> None:
    assert by_position(counted(draws())) == [dict(Counter(position)) for position in draws().tolist()]
    assert [len(part) for part in (counted(draws()[:0]).entries, counted(draws()[:0]).ids)] == [0, 0]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("vocabulary", "ids_dtype"), [(60_000, "uint16"), (16_000_000, "uint32")])
@pytest.mark.parametrize("number", [DRAWS, 300])
def test_what_is_packed_comes_back_after_a_journey_through_parquet(
    encoding: str, vocabulary: int, ids_dtype: str, number: int
) -> None:
    ids = draws(vocabulary, number)
    kept = sampled_format(encoding=encoding, vocabulary_size=vocabulary, ids_dtype=ids_dtype, draws=number)
    table = decode(io.BytesIO(encode(packed(ids, target_format=kept))), None, "x")
    expected = [dict(Counter(position)) for position in ids.tolist()]
    assert by_position(drawn(table)) == expected
    assert by_position(drawn(table.slice(1))) == expected[2:]
    assert by_position(drawn(pa.concat_tables([table.slice(0, 2), table.slice(2)]))) == expected
    assert by_position(drawn(table.schema.empty_table())) == []
    np.testing.assert_allclose(flat(table, "token_log_probs"), np.linspace(-3, 0, N), rtol=0.01, atol=0.01)
    np.testing.assert_allclose(flat(table, "entropy"), np.linspace(0, 3, N), rtol=0.01, atol=0.01)


def test_bytes_are_little_endian_row_by_row() -> None:
    table, counts = packed(), [sorted(Counter(position).items()) for position in draws().tolist()]
    for row, (start, end) in enumerate([(0, 2), (2, 3), (3, 6)]):
        entries = [entry for position in counts[start:end] for entry in position]
        assert list(table["drawn_entries"][row].as_py()) == [len(position) for position in counts[start:end]]
        assert table["drawn_ids"][row].as_py() == struct.pack(f"<{len(entries)}H", *(number for number, _ in entries))
        assert list(table["drawn_counts"][row].as_py()) == [count for _, count in entries]
    assert {table[name].null_count for name in ("topk_ids", "tail_log_mass", "drawn_ids_high")} == {3}


def test_compact_ids_are_gaps() -> None:
    ids = np.sort(np.array([[3, 4, 4, 700], [0, 0, 0, 0]]), axis=1)
    kept = sampled_format(encoding="compact", draws=4)
    table = packed(
        ids, row_ids=["a"], lengths=[2], token_log_probs=np.zeros(2), entropy=np.zeros(2), target_format=kept
    )
    assert list(table["drawn_ids"][0].as_py()) == [3, 0, (700 - 4 - 1) & 255, 0]
    assert list(table["drawn_ids_high"][0].as_py()) == [0, 0, (700 - 4 - 1) >> 8, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": [2, 1, 4]}, "6 positions; expected [0-9]+ of each at 7"),
        ({"target_format": sampled_format(draws=21)}, r"counts sum to 20 \.\. 20; expected 21"),
        ({"target_format": sampled_format(vocabulary_size=59_999)}, r"drawn_ids lie in \d+ \.\. 59999; expected 0"),
        ({"entropy": np.zeros(5)}, r"entropy has shape \[5\]; expected \[6\]"),
        ({"token_log_probs": np.full(N, 3.5)}, "are these raw logits"),
        (
            {"drawn": Drawn(np.full(N, 2), np.tile([5, 4], N), np.full(2 * N, 10))},
            "entry 1 of the drawn ids is not above",
        ),
        ({"drawn": Drawn(np.array([0, 2, 1, 1, 1, 1]), np.arange(6), np.full(6, DRAWS))}, "nothing was drawn at pos"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        packed(**changes)


@pytest.mark.parametrize("name", ["drawn_entries", "drawn_ids", "drawn_counts"])
def test_a_row_whose_bytes_do_not_fit_is_named(name: str) -> None:
    table = packed()
    values = table[name].to_pylist()
    values[1] += values[1][:1]
    place = table.schema.get_field_index(name)
    damaged = table.set_column(place, table.schema.field(name), [pa.array(values, pa.binary())])
    with pytest.raises(DataError, match="row b: drawn_"):
        drawn(damaged)


def test_a_reader_of_the_other_mode_says_so() -> None:
    for read in (topk, unpack, lambda table: flat(table, "topk_ids")):
        with pytest.raises(DataError, match=r"are sampled \(20 draws a position\).*data\.drawn_targets\.drawn"):
            read(packed())
    kept = pack(
        row_ids=["a"], lengths=[1], conditioning="hypothesis", topk_ids=np.zeros((1, 1), int),
        topk_log_probs=np.zeros((1, 1)), tail_log_mass=np.full(1, -9.0), token_log_probs=np.zeros(1),
        entropy=np.zeros(1), target_format=sampled_format(mode="topk", k=1, draws=0),
    )  # fmt: skip
    with pytest.raises(DataError, match=r"the 1 most probable entries and not drawn.*data\.soft_targets\.topk"):
        drawn(kept)
