"""Joining by id: what fits is put side by side, what does not is named."""

import pickle

import pyarrow as pa
import pytest

from data import schema
from data.errors import DataError
from data.join import join, join_by_role, part


def _table(ids: list[str | None], **columns: list[int]) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.string()), **columns})


def test_columns_stand_side_by_side_and_id_once() -> None:
    joined = join([_table(["x", "y"], a=[1, 2]), _table(["x", "y"], b=[3, 4], c=[5, 6]), _table(["x", "y"])])
    assert joined.to_pylist() == [{"id": "x", "a": 1, "b": 3, "c": 5}, {"id": "y", "a": 2, "b": 4, "c": 6}]


def test_chunks_need_not_agree() -> None:
    whole = _table(["x", "y", "z"], a=[1, 2, 3])
    pieces = pa.concat_tables([_table(["x"], b=[1]), _table(["y", "z"], b=[2, 3])])
    assert join([whole, pieces]).column("b").to_pylist() == [1, 2, 3]


def test_comments_and_metadata_are_kept() -> None:
    first = schema.PAIRS.empty_table().replace_schema_metadata({"one": "1", "both": "2"})
    joined = join([first, schema.SOFT_TARGETS.empty_table().replace_schema_metadata({"two": "2", "both": "2"})])
    assert joined.schema.equals(schema.joined(schema.PAIRS, schema.SOFT_TARGETS))
    assert joined.schema.metadata == {b"one": b"1", b"two": b"2", b"both": b"2"}
    assert joined.schema.field("length").metadata == schema.SOFT_TARGETS.field("length").metadata


@pytest.mark.parametrize("ids", [["x", "q", "z"], ["x", "z", "y"], ["x", None, "z"]])
def test_rows_in_another_order_are_refused_and_the_first_is_named(ids: list[str | None]) -> None:
    with pytest.raises(DataError, match=f"row y: table 1 of the join has id {ids[1]} in row 1") as caught:
        join([_table(["x", "y", "z"]), _table(ids)])
    assert caught.value.row_id == "y"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_missing_rows_are_refused() -> None:
    with pytest.raises(DataError, match="table 2 of the join has 1 rows; expected 2"):
        join([_table(["x", "y"]), _table(["x", "y"]), _table(["x"])])


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(DataError, match="column a comes twice: again in table 1"):
        join([_table(["x"], a=[1]), _table(["x"], a=[1])])


def test_metadata_that_differs_is_refused() -> None:
    one, other = (_table(["x"]).replace_schema_metadata({"k": value}) for value in ("16", "32"))
    with pytest.raises(DataError, match="schema metadata k of table 1 of the join differs"):
        join([one, other])


def test_a_table_without_id_is_refused() -> None:
    with pytest.raises(DataError, match=r"table 1 of the join has the columns \['a'\]; expected `id`, once"):
        join([_table(["x"]), pa.table({"a": [1]})])


def test_tables_with_the_same_columns_are_told_apart_by_their_role() -> None:
    one = _table(["x", "y"], a=[1, 2]).replace_schema_metadata({"made": "1"})
    other = _table(["x", "y"], a=[3, 4], b=[5, 6]).replace_schema_metadata({"made": "2"})
    joined = join_by_role({"one": one, "one_more": other})
    assert joined.column_names == ["id", "one.a", "one_more.a", "one_more.b"]
    for role, table in (("one", one), ("one_more", other)):
        assert part(joined, role).equals(table)
        assert part(joined, role).schema.metadata == table.schema.metadata
    with pytest.raises(DataError, match="id y in row 1; expected"):
        join_by_role({"one": _table(["x", "z"]), "other": other})
