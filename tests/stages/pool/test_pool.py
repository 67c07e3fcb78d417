"""N-best lists of several teachers put together, against lists joined by hand."""

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from data import schema
from data.artifact import Artifact
from data.join import join_by_role
from data.runtime import Runtime
from stages.pool import stage as pool
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import closed, new_artifact

UNTRANSLATED = ("", schema.UNTRANSLATED_SCORE)


def nbest(teacher: str, *rows: list[tuple[str, float]]) -> pa.Table:
    entries = [
        [{"tokens": text.split(), "text": text, "score": score, "teacher": teacher} for text, score in row]
        for row in rows
    ]
    ids = [f"id{number}" for number in range(len(rows))]
    return pa.Table.from_pylist(
        [{"id": name, "hypotheses": row} for name, row in zip(ids, entries, strict=True)], schema=schema.NBEST
    )


def pooled(tables: dict[str, pa.Table], config: pool.Config, artifacts: dict[str, Artifact] | None = None) -> pa.Table:
    resources = pool.load(config, artifacts or {}, Runtime())
    return pool.run(join_by_role(tables), config, resources)


def told(table: pa.Table) -> list[list[tuple[str, str, float]]]:
    return [
        [(one["teacher"], one["text"], one["score"]) for one in row] for row in table.column("hypotheses").to_pylist()
    ]


CONFIG = pool.Config(teachers=("teacher", "small"))


def test_a_row_holds_the_hypotheses_of_all_teachers_one_teacher_after_the_other() -> None:
    first = nbest("teacher", [("a b", -0.5), ("a", -2.0)], [("c", -1.0)])
    second = nbest("small", [("b a", -0.25)], [("d e", -0.5), ("d", -1.5)])
    assert pool.reads(CONFIG) == {"decode": ("hypotheses",), "decode_small": ("hypotheses",)}
    result = pooled({"decode": first, "decode_small": second}, CONFIG)
    assert result.schema.equals(pool.SCHEMA)
    assert result.column("id").to_pylist() == ["id0", "id1"]
    assert told(result) == [
        [("teacher", "a b", -0.5), ("teacher", "a", -2.0), ("small", "b a", -0.25)],
        [("teacher", "c", -1.0), ("small", "d e", -0.5), ("small", "d", -1.5)],
    ]
    assert pool.count(result) == {"hypotheses": 6, "tokens": 9, "of_teacher": 3, "of_small": 3}


def test_what_one_teacher_did_not_translate_another_may_have() -> None:
    first = nbest("teacher", [UNTRANSLATED], [("c", -1.0)], [UNTRANSLATED])
    second = nbest("small", [("x", -0.5), ("y", -0.75)], [UNTRANSLATED], [UNTRANSLATED])
    result = pooled({"decode": first, "decode_small": second}, CONFIG)
    assert told(result) == [
        [("small", "x", -0.5), ("small", "y", -0.75)],
        [("teacher", "c", -1.0)],
        [("teacher", "", schema.UNTRANSLATED_SCORE)],
    ]


def test_rows_of_none_and_none_at_all() -> None:
    empty = {"decode": nbest("teacher"), "decode_small": nbest("small")}
    assert pooled(empty, CONFIG).num_rows == 0


def test_texts_of_a_teacher_with_other_subwords_are_split_anew(tmp_path: Path) -> None:
    made = new_artifact(tmp_path, "tokenizer")
    tokenizer.run({}, tokenizer.Config(kind="none"), made, Runtime())
    config = pool.Config(teachers=("teacher", "small"), retokenised=("small",))
    assert pool.resources(config) == ("tokenizer",)
    first = nbest("teacher", [("a b", -0.5)])
    pieces = [
        {"id": "id0", "hypotheses": [{"tokens": ["▁b", "▁", "a"], "text": "b a", "score": -1.0, "teacher": "small"}]}
    ]
    second = pa.Table.from_pylist(pieces, schema=schema.NBEST)
    result = pooled({"decode": first, "decode_small": second}, config, {"tokenizer": closed(made)})
    assert [one["tokens"] for one in result.column("hypotheses").to_pylist()[0]] == [["a", "b"], ["b", "a"]]


def test_one_teacher_is_no_pool() -> None:
    with pytest.raises(ValidationError):
        pool.Config(teachers=("teacher",))
