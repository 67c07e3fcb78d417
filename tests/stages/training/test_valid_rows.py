"""The validation's sample: bounded, of the smallest hashes, the same however the rows lie in shards."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from stages.training.valid_rows import sampled
from stages.training.validation_config import ValidationConfig
from tests.stages.training.toy import pairs, stream, train, training_data


def wanted(tables: Sequence[pa.Table], most: int) -> list[tuple[str, str]]:
    """By sorting all rows in memory."""
    rows = [(row["source"], row["reference"]) for table in tables for row in table.to_pylist() if row["reference"]]
    kept = sorted(
        rows, key=lambda row: int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest(), "little")
    )
    left = kept[:most]
    return [row for row in rows if row in left]


def rows_of(found: pa.Table) -> list[tuple[str, str]]:
    return list(zip(found["source"].to_pylist(), found["reference"].to_pylist(), strict=True))


def unlike(rows: int, seed: int) -> pa.Table:
    table = pairs(rows, seed, longest=12)
    return table.set_column(
        0, "source", pa.array([f"{text} {seed}-{row}" for row, text in enumerate(table["source"].to_pylist())])
    )


def test_it_is_the_rows_of_the_smallest_hash_in_their_order() -> None:
    tables = [unlike(30, 1), unlike(50, 2), unlike(1, 3)]
    without = pa.table({"source": ["a1", "a2"], "reference": pa.array([None, None], pa.string())})
    for most in (1, 17, 80, 81, 500):
        sample = sampled([stream("valid", *tables, without)], most)
        assert sample.of == 81
        ((_, found),) = sample.tables()
        assert rows_of(found) == wanted(tables, most)
        assert len(found) == min(most, 81)


def test_it_does_not_hang_on_how_rows_lie_in_shards() -> None:
    whole = unlike(60, 1)
    (one,) = sampled([stream("valid", whole)], 20).tables()
    (other,) = sampled([stream("valid", whole.slice(0, 7), whole.slice(7, 40), whole.slice(47))], 20).tables()
    assert rows_of(one[1]) == rows_of(other[1])


@pytest.mark.parametrize(("most", "counts"), [(10, [3, 3, 4]), (30, [3, 14, 13]), (100, [3, 40, 20]), (2, [0, 1, 1])])
def test_streams_share_the_rows(most: int, counts: list[int]) -> None:
    streams = [stream(f"valid/{number}", unlike(rows, number)) for number, rows in enumerate((3, 40, 20))]
    found = {held.name: len(table) for held, table in sampled(streams, most).tables()}
    assert sum(found.values()) == min(most, 63)
    assert [found.get(f"valid/{number}", 0) for number in range(3)] == counts


def test_a_training_tells_what_it_was_validated_on(tmp_path: Path) -> None:
    looked: list[int] = []
    table = unlike(40, 5)

    def read() -> pa.Table:
        looked.append(1)
        return table

    data = training_data(valid=[stream("valid", shards=[read])])
    metrics = train(tmp_path, data=data, validation=ValidationConfig(rows=15))
    assert metrics["validation"] == {"rows": 15, "of": 40}
    assert looked == [1]
