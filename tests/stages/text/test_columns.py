"""Columns of others: joined by their keys, and by nothing else."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.errors import DataError
from stages.text.columns import Column, Key, Lookup, column_faults, load_column


def tsv(folder: Path, *lines: str, **column: object) -> Lookup:
    path = folder / "qe.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return load_column(Column.model_validate({"name": "qe", "path": str(path), **column}))


KEYS: dict[Key, list[object]] = {
    "id": ["a", "b", "c"],
    "source": ["Hi  there", "Bye", "Ü"],
    "target": ["Hallo", "Tschüs", "Ü"],
    "rank": [0, None, 2],
}


@pytest.mark.parametrize(
    ("lines", "by", "values"),
    [
        (["id\tqe", "b\t2", "a\t1.5", "z\t9"], ("id",), [1.5, 2, None]),
        (["qe\ttarget\tid", "1\tHallo\ta", "2\tanother\tb"], ("id", "target"), [1, None, None]),
        (
            ["source\ttarget\tqe", "Hi there\tHallo\t-3e-2", "U\u0308\tU\u0308\t7"],
            ("source", "target"),
            [-0.03, None, 7],
        ),
        (["id\trank\tqe", "a\t0\t1", "b\t0\t2", "c\t1\t3"], ("id", "rank"), [1, None, None]),
        (["id\tqe", "a\t", "b\tNaN", "c\tnull"], ("id",), [None, None, None]),
        (["id\tqe", "a\t1", "a\t1"], ("id",), [1, None, None]),
        (["id\tqe", 'a"\t1', '"b\t2'], ("id",), [None, None, None]),  # quotes are letters
    ],
)
def test_values_find_their_rows(
    tmp_path: Path, lines: list[str], by: tuple[Key, ...], values: list[float | None]
) -> None:
    found = tsv(tmp_path, *lines)
    assert found.by == by
    expected = [np.nan if value is None else value for value in values]
    np.testing.assert_array_equal(found.find(KEYS), expected)


@pytest.mark.parametrize(
    ("lines", "options", "fault"),
    [
        (["id\tqe", "a\t1", "b\t5", "a\t2"], {}, r"rows 1 and 3 are the same by id, and their qe is 1 and 2"),
        (["id\tqe", "a\t1", "a\t"], {}, r"rows 1 and 2 are the same"),
        (["id\tqe", "a\t1", "b\tgood"], {}, r"'good' in row 2 is no finite number"),
        (["id\tqe", "a\tinf"], {}, r"'inf' in row 1 is no finite number"),
        (["id\tscore", "a\t1"], {}, r"has the columns id, score; expected qe, and id, or source and target"),
        (["name\tqe", "a\t1"], {}, r"has the columns name, qe; expected qe, and id"),
        (["id\tqe", "a\t1"], {"by": ["id", "target"]}, r"expected qe, and id, target"),
        (["rank\tqe", "0\t1"], {}, r"expected qe, and id"),
        (["id\tqe", "a\t1\t2"], {}, r"cannot be read near row 1"),
        (["id\tqe"], {}, r"has no rows"),
        ([], {}, r"cannot be read"),
    ],
)
def test_what_cannot_be_right_is_an_error(
    tmp_path: Path, lines: list[str], options: dict[str, object], fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        tsv(tmp_path, *lines, **options)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 3), st.floats(-9, 9)), min_size=1, max_size=30))
def test_a_parquet_file_is_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, float]]
) -> None:
    known = {(" ".join(name.split()), rank): value for name, rank, value in rows if name.isascii()}
    path = tmp_path_factory.mktemp("parquet") / "figures"
    names, ranks = zip(*(known or {("x", 0): 0.0}), strict=True)
    values = list(known.values()) or [0.0]
    pq.write_table(pa.table({"id": names, "rank": pa.array(ranks, pa.float64()), "v": values}), path)
    found = load_column(Column(name="qe", path=str(path), value="v"))
    asked = [*zip(names, ranks, strict=True), ("not there", 0)]
    given = found.find({"id": [name for name, _ in asked], "rank": [rank for _, rank in asked]})
    np.testing.assert_array_equal(given[:-1], values)
    assert np.isnan(given[-1])


def test_a_column_has_a_name_of_its_own_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="expected small letters"):
        Column(name="column:qe", path="x")
    column = Column(name="qe", path=str(tmp_path / "none.tsv"))
    faults = column_faults([column, column], "measure.columns")
    assert faults[0] == "measure.columns: qe comes twice; give each its own name"
    assert faults[1].endswith("none.tsv: no such file")
