"""Parquet as others see it: pyarrow's own reader, and the bytes."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import schema
from data.errors import DataError
from data.parquet import column_digests, decode, encode, leaf_columns
from data.store import Store

SCHEMAS = [
    schema.PAIRS,
    schema.REJECTS,
    schema.NBEST,
    schema.SELECTED,
    schema.SOFT_TARGETS,
    schema.MEASURES,
    schema.VERDICTS,
    schema.DATASET,
]


def _file(table: pa.Table) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(encode(table)))


def _table(rows: int = 1000) -> pa.Table:
    content = {
        "id": [f"{n:032x}" for n in range(rows)],
        "metric": ["chrf"] * rows,
        "tokens": [["▁a", "b"][: n % 3] for n in range(rows)],
        "reference": [None if n % 7 else "x" for n in range(rows)],
        "topk_ids": [bytes([n % 256]) * 8 for n in range(rows)],
    }
    return pa.table(content)


def test_the_same_table_gives_the_same_bytes_however_it_lies_in_memory() -> None:
    table = _table()
    pieces = pa.concat_tables([table.slice(0, 10), table.slice(10, 700), table.slice(710)])
    grown = pa.concat_tables([_table(5), table, _table(3)]).slice(5, 1000)
    assert pieces.column("id").num_chunks == 3
    assert encode(table) == encode(pieces) == encode(grown) == encode(_table())
    assert encode(table) != encode(table.slice(1))


def test_digests_of_columns_are_of_their_content_alone() -> None:
    table = _table()
    known = column_digests(table)
    assert list(known) == table.column_names
    assert len(set(known.values())) == len(known)
    pieces = pa.concat_tables([table.slice(0, 10), table.slice(10, 700), table.slice(710)])
    grown = pa.concat_tables([_table(5), table, _table(3)]).slice(5, 1000)
    read = decode(io.BytesIO(encode(table)), None, "it")
    # What lies below a null is no content.
    numbers = pa.Array.from_buffers(pa.int32(), 3, [pa.py_buffer(b"\x05"), pa.py_buffer(bytes(range(12)))])
    assert column_digests(pa.table({"n": numbers})) == column_digests(
        pa.table({"n": pa.array([0x03020100, None, 0x0B0A0908], pa.int32())})
    )
    for same in (pieces, grown, read, read.select(["id", "tokens"]), table.append_column("n", pa.nulls(1000))):
        found = column_digests(same)
        assert {name: found[name] for name in known if name in found} == {n: d for n, d in known.items() if n in found}


@pytest.mark.parametrize(
    ("name", "value"), [("id", "ff"), ("metric", "bleu"), ("tokens", None), ("reference", ""), ("topk_ids", b"")]
)
def test_another_value_changes_the_digest_of_its_column(name: str, value: object) -> None:
    table = _table()
    values = [*table.column(name).to_pylist()[:-1], value]
    place, kind = table.column_names.index(name), table.schema.field(name).type
    known = column_digests(table)
    found = column_digests(table.set_column(place, name, pa.array(values, kind)))
    assert {other for other in known if known[other] != found[other]} == {name}


def test_digests_of_columns_tell_the_schemas_metadata() -> None:
    table = _table().replace_schema_metadata({"k": "16", "mode": "topk"})
    known = column_digests(table)
    assert column_digests(decode(io.BytesIO(encode(table)), None, "it")) == known
    assert column_digests(table.replace_schema_metadata({"mode": "topk", "k": "16"})) == known
    other = column_digests(table.replace_schema_metadata({"k": "8", "mode": "topk"}))
    assert all(other[name] != known[name] for name in known)


def test_columns_of_many_pages_give_the_same_bytes_however_they_are_cut() -> None:
    noise = np.random.default_rng(5).bytes(4_000_000)
    table = pa.table({"id": ["x"] * 4000, "noise": [noise[n * 1000 :][:1000] for n in range(4000)]})
    pieces = pa.concat_tables([table.slice(0, 10), table.slice(10, 1700), table.slice(1710)])
    assert encode(table) == encode(pieces)


def test_the_order_of_metadata_does_not_reach_the_bytes() -> None:
    table = _table(2)
    one, other = (
        table.replace_schema_metadata(dict(keys)) for keys in ([("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")])
    )
    assert encode(one) == encode(other)
    assert decode(io.BytesIO(encode(other)), None, "x").schema.metadata == {b"a": b"1", b"b": b"2"}


def test_packed_columns_and_ids_are_kept_without_dictionary_and_all_with_zstd() -> None:
    group = _file(_table()).metadata.row_group(0)
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    dictionary = {path: any("DICTIONARY" in encoding for encoding in columns[path].encodings) for path in columns}
    assert dictionary == {
        "id": False,
        "metric": True,
        "tokens.list.element": True,
        "reference": True,
        "topk_ids": False,
    }
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert {path for path, column in columns.items() if not column.is_stats_set} == {"id", "topk_ids"}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_reader_without_our_code_learns_what_each_field_means(kind: pa.Schema) -> None:
    found = _file(kind.empty_table()).schema_arrow
    assert found.equals(kind)
    for field in found:
        assert field.metadata[b"comment"] == kind.field(field.name).metadata[b"comment"]


def test_comments_of_nested_fields_are_kept() -> None:
    hypothesis = _file(schema.NBEST.empty_table()).schema_arrow.field("hypotheses").type.value_type
    assert [field.metadata for field in hypothesis] == [field.metadata for field in schema.HYPOTHESIS]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_leaf_columns_are_parquets_own(kind: pa.Schema) -> None:
    found = _file(kind.empty_table()).schema
    assert [path for path, _ in leaf_columns(kind)] == [found.column(number).path for number in range(len(found))]


def test_a_null_that_the_schema_forbids_is_an_error() -> None:
    table = pa.Table.from_arrays([pa.array(["a", None])], schema=pa.schema([schema.ID]))
    with pytest.raises(DataError, match="'id' is declared non-nullable but contains nulls"):
        encode(table)


def test_what_is_no_parquet_is_named() -> None:
    with pytest.raises(DataError, match="shard a/b: cannot be read as Parquet"):
        decode(io.BytesIO(b"PAR1 and no more"), None, "a/b")


def _bytes_read_so_far() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux's counters")
def test_a_column_that_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    artifact = Store(str(tmp_path)).artifact("score", "0" * 20)
    table = pa.table({"id": ["a"], "noise": [os.urandom(4_000_000)], "n": [1]})
    artifact.write_shard("train-00000", table)
    artifact.complete(stage="score", version="1", config={}, inputs={}, libraries={})
    artifact.read_shard("train-00000", ["id"])
    before = _bytes_read_so_far()
    assert artifact.read_shard("train-00000", ["n"])["n"].to_pylist() == [1]
    assert _bytes_read_so_far() - before < 200_000
