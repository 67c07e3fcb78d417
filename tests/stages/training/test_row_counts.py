"""Counts that manifests tell, against counting rows; and rows that are counted where a manifest does not tell."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.language_tags import Direction
from stages.training.row_counts import by_direction, by_origin, corpus_rows, dataset_rows, pair_rows, weighed
from tests.fixtures.artifacts import closed, new_artifact

EN_DE, EN_FR = Direction("en", "de"), Direction("en", "fr")
# Origin, target language, rows with and without a reference.
SOURCES = [("web", "de", 5, 2), ("books", "de", 3, 0), ("news", "fr", 0, 4)]


def rows(*, references: bool = True) -> pa.Table:
    found = [
        {"id": f"{origin}{number}", "source": "s", "reference": "r" if number < some else None, "origin": origin,
         "source_language": "en", "target_language": target}
        for origin, target, some, none in SOURCES
        for number in range(some + none)
    ]  # fmt: skip
    table = pa.Table.from_pylist(found)
    return table if references else table.drop_columns(["reference"])


def told() -> dict[str, Any]:
    sources = {
        origin: {"source_language": "en", "target_language": target, "kept": {"train": some + none, "valid": 0},
                 "monolingual": {"train": none, "valid": 0}}
        for origin, target, some, none in SOURCES
    }  # fmt: skip
    return {"sources": sources}


def artifact(root: Path, node: str, metrics: dict[str, Any], table: pa.Table) -> Artifact:
    made = new_artifact(root, node)
    made.write_shard("train-00000", table)
    return closed(made, metrics)


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Artifact, name: str, columns: object = None) -> pa.Table:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(Artifact, "read_shard", read)


@pytest.mark.parametrize("tells", [True, False])
def test_rows_of_a_corpus(tmp_path: Path, tells: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = artifact(tmp_path, "corpus", told() if tells else {}, rows())
    if tells:
        refuse(monkeypatch)
    found = corpus_rows(corpus, origins=True)
    assert {(one.origin, one.direction, one.rows, one.references) for one in found} == {
        ("web", EN_DE, 7, 5), ("books", EN_DE, 3, 3), ("news", EN_FR, 4, 0)
    }  # fmt: skip
    assert by_direction(found) == {EN_DE: 10, EN_FR: 4}
    assert by_direction(found, references=True) == {EN_DE: 8}
    assert weighed(found, {"web": 2.0, "news": 0.5}) == {EN_DE: 17.0, EN_FR: 2.0}
    assert by_origin(found, {}) is None
    worth = by_origin(found, {"web": 2.5})
    assert worth is not None and worth.most == 3 and set(worth.of(rows()).tolist()) == {2.5, 1.0}


def test_a_manifest_that_tells_of_other_rows_is_not_believed(tmp_path: Path) -> None:
    metrics = told()
    metrics["sources"]["web"]["kept"]["train"] += 1
    corpus = artifact(tmp_path, "corpus", metrics, rows())
    assert by_direction(corpus_rows(corpus)) == {EN_DE: 10, EN_FR: 4}


@pytest.mark.parametrize("tells", [True, False])
def test_rows_of_a_dataset(tmp_path: Path, tells: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {origin: {"rows": some + none, "rejected": 1} for origin, _, some, none in SOURCES}
    languages = [{"source": "en", "target": "de", "rows": 10}, {"source": "en", "target": "fr", "rows": 4}]
    metrics = {"sources": sources, "languages": languages}
    corpus = artifact(tmp_path, "corpus", told(), rows())
    dataset = artifact(tmp_path, "dataset", metrics if tells else {}, rows(references=False))
    if tells:
        refuse(monkeypatch)
    assert by_direction(dataset_rows(dataset, corpus)) == pair_rows(dataset) == {EN_DE: 10, EN_FR: 4}
    assert weighed(dataset_rows(dataset, corpus, origins=True), {"books": 4.0}) == {EN_DE: 19.0, EN_FR: 4.0}
