"""Translations from a file come to the rows that they are of, in whatever order and form, and counts add up."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import schema
from data.errors import DataError
from stages.given import join, spool
from tests.stages.given.corpus import FORMS, corpus, joined, row, texts_of, write

SOURCES = [f"una frase número {number}" for number in range(40)]


def made(folder: Path, **more: Any) -> Any:
    """Four shards of training rows, and one of test rows."""
    parts = {f"train-{number:05}": [row(source) for source in SOURCES[number::4]] for number in range(4)}
    return corpus(folder, {**parts, "test-00000": [row("una prueba", split="test")], **more})


@pytest.mark.parametrize("form", [*FORMS, "tsv", "tsv.gz"])
def test_every_form_gives_the_same(tmp_path: Path, form: str) -> None:
    records = [{"id": row(source)["id"], "target": f"traducció de {source}", "score": -0.5} for source in SOURCES]
    records.append({"id": row("una prueba")["id"], "target": "una prova", "score": -1.0})
    given, metrics = joined(made(tmp_path), write(tmp_path / f"given.{form}", records[::-1]))
    assert texts_of(given) == {row(source)["id"]: [f"traducció de {source}"] for source in SOURCES}
    assert texts_of(given, "test") == {row("una prueba")["id"]: ["una prova"]}
    table = given.read_shard("train-00001")
    assert table.schema.equals(schema.GIVEN)
    assert table["scores"].to_pylist() == [[-0.5]] * 10
    assert metrics["splits"] == {"test": {"rows": 1, "translated": 1}, "train": {"rows": 40, "translated": 40}}
    counts = ("records", "matched", "unmatched", "translations", "repeated", "scored")
    assert [metrics[name] for name in counts] == [41, 41, 0, 41, 0, 41]


def test_ids_of_every_shard_are_the_corpuss_in_its_order(tmp_path: Path) -> None:
    texts = made(tmp_path)
    given, _ = joined(texts, write(tmp_path / "given.jsonl", [{"source": SOURCES[3], "target": "una"}]))
    for name in texts.shard_names():
        assert given.read_shard(name)["id"].to_pylist() == texts.read_shard(name)["id"].to_pylist()


def test_a_source_is_known_whatever_space_and_composition_it_is_written_in(tmp_path: Path) -> None:
    record = {"source": "  una\u00a0frase  nu\u0301mero 7 ", "target": "una frase\nnúmero  set"}
    given, _ = joined(made(tmp_path), write(tmp_path / "given.jsonl", [record]))
    assert texts_of(given)[row(SOURCES[7])["id"]] == ["una frase número set"]


def test_several_entries_of_a_row_are_several_translations_and_the_same_one_counts_once(tmp_path: Path) -> None:
    first, second = SOURCES[:2]
    records = [
        {"source": first, "target": "b"},
        {"source": second, "hypotheses": ["x", {"text": "y"}, "x", ""]},
        {"source": first, "target": "a"},
        {"source": first, "target": "b"},
        {"source": SOURCES[2], "target": None},
    ]
    given, metrics = joined(made(tmp_path), write(tmp_path / "given.jsonl", records))
    found = texts_of(given)
    assert [found[row(source)["id"]] for source in SOURCES[:3]] == [["b", "a"], ["x", "y"], []]
    counts = ("matched", "translations", "repeated", "empty_texts", "without_translation")
    assert [metrics[name] for name in counts] == [5, 4, 2, 1, 1]


def test_the_best_score_comes_first_where_all_have_one(tmp_path: Path) -> None:
    records = [
        {"source": SOURCES[0], "hypotheses": ["a", "b", "c"], "scores": [0.1, 0.9, 0.5]},
        {"source": SOURCES[1], "hypotheses": ["a", "b", "c"], "scores": [0.1, None, 0.5]},
    ]
    given, _ = joined(made(tmp_path), write(tmp_path / "given.jsonl", records))
    rows = {one["id"]: one for table in given.tables("train-") for one in table.to_pylist()}
    scored, unscored = (rows[row(source)["id"]] for source in SOURCES[:2])
    assert (scored["texts"], scored["scores"]) == (["b", "c", "a"], pytest.approx([0.9, 0.5, 0.1]))
    assert (unscored["texts"], unscored["scores"]) == (["a", "b", "c"], [pytest.approx(0.1), None, 0.5])


def test_what_is_of_no_row_is_counted_and_told_with_examples(tmp_path: Path, caplog: Any) -> None:
    records = [
        {"source": SOURCES[0], "target": "una"},
        {"source": "otra cosa", "target": "x"},
        {"id": "7", "target": "y"},
    ]
    path = write(tmp_path / "given.jsonl", records)
    with caplog.at_level(logging.WARNING):
        _, metrics = joined(made(tmp_path), path)
    assert (metrics["records"], metrics["matched"], metrics["unmatched"]) == (3, 1, 2)
    assert metrics["unmatched_examples"] == [f"{path}:2: 'otra cosa'", f"{path}:3: 7"]
    assert "train: 39 of 40 rows have no translation" in caplog.text
    assert f"2 of 3 records are of no row of the corpus, such as {path}:2: 'otra cosa'; {path}:3: 7" in caplog.text


def test_a_sentence_that_a_test_set_has_twice_is_translated_twice(tmp_path: Path) -> None:
    twice = [row(" una  prueba ", split="test"), row(" una  prueba ", split="test", again=1), row("otra", split="test")]
    texts = made(tmp_path, **{"test-00000": twice})
    records = [{"source": "una prueba", "target": "una"}, {"source": SOURCES[0], "target": "x"}]
    given, metrics = joined(texts, write(tmp_path / "a.jsonl", records))
    assert [texts_of(given, "test")[one["id"]] for one in twice] == [["una"], ["una"], []]
    assert metrics["splits"]["test"] == {"rows": 3, "translated": 2}


def test_a_source_of_several_pairs_needs_its_languages_and_takes_its_own(tmp_path: Path) -> None:
    shards = {"train-00000": [row("hola"), row("hola", target="pt")]}
    wanted = {"source": "hola", "source_language": "es"}
    records = [
        {**wanted, "target_language": "pt", "target": "olá"},
        {**wanted, "target_language": "ca", "target": "ei"},
    ]
    given, _ = joined(corpus(tmp_path, shards), write(tmp_path / "given.jsonl", records))
    assert list(texts_of(given).values()) == [["ei"], ["olá"]]
    bare = write(tmp_path / "bare.jsonl", [{"source": "hola", "target": "olá"}])
    with pytest.raises(DataError, match=r"bare.jsonl:1: names a source and no languages.*es-ca, es-pt"):
        joined(corpus(tmp_path / "again", shards), bare)


def test_rows_of_pairs_that_it_is_not_for_are_not_looked_for(tmp_path: Path) -> None:
    shards = {"train-00000": [row("hola"), row("hola", target="pt")]}
    records = [{"source": "hola", "target": "olá"}, {"id": row("hola")["id"], "target": "no"}]
    given, metrics = joined(corpus(tmp_path, shards), write(tmp_path / "given.jsonl", records), pairs=["es-pt"])
    assert list(texts_of(given).values()) == [[], ["olá"]]
    assert (metrics["unmatched"], metrics["splits"]["train"]) == (1, {"rows": 1, "translated": 1})


def test_a_file_of_other_rows_is_refused_with_what_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "given.jsonl", [{"source": "nada", "target": "res"}])
    with pytest.raises(DataError, match=r"none of 40 rows of the train split.*1 are of no row.*'nada'.*export-text"):
        joined(made(tmp_path), path)


def test_the_file_may_be_many_and_is_asked_for_when_it_is_not_there(tmp_path: Path) -> None:
    for number, source in enumerate(SOURCES):
        write(tmp_path / f"part-{number:02}.jsonl", [{"source": source, "target": f"t{number}"}])
    _, metrics = joined(made(tmp_path), tmp_path / "part-*.jsonl")
    assert metrics["splits"]["train"] == {"rows": 40, "translated": 40}
    config = join.Config(path=str(tmp_path / "none-*.jsonl"))
    assert join.external_files(config) == []
    assert join.absent(config) == [f"path: {tmp_path}/none-*.jsonl: no such file"]


def test_fields_have_the_names_that_the_recipe_says(tmp_path: Path) -> None:
    record = {"custom": {"src": SOURCES[0]}, "response": {"text": "una", "s": "0.25"}}
    fields = {"source": "custom.src", "target": "response.text", "score": "response.s"}
    for form in FORMS:
        path = write(tmp_path / f"given.{form}", [record])
        given, _ = joined(made(tmp_path / form), path, fields=fields)
        (found,) = [one for table in given.tables("train-") for one in table.to_pylist() if one["texts"]]
        assert (found["texts"], found["scores"]) == (["una"], [0.25])


def test_any_order_and_any_memory_give_what_a_dictionary_gives(tmp_path: Path, monkeypatch: Any) -> None:
    random = np.random.default_rng(5)
    records = [
        {"source": SOURCES[number], "target": f"t{random.integers(6)}"} for number in random.integers(0, 30, size=200)
    ]
    expected: dict[str, list[str]] = {row(source)["id"]: [] for source in SOURCES}
    for record in records:
        found = expected[row(record["source"])["id"]]
        found += [record["target"]] if record["target"] not in found else []
    monkeypatch.setattr(spool, "MOST_WAITING", 7)
    monkeypatch.setattr(spool, "GROUPS", 2)
    given, metrics = joined(made(tmp_path), write(tmp_path / "given.jsonl", records))
    assert texts_of(given) == expected
    assert metrics["translations"] + metrics["repeated"] == 200
    assert not list(Path(given.url).glob(".given*")), "nothing of the spool is left"


def test_log_probabilities_are_kept_only_where_they_are_asked_for(tmp_path: Path) -> None:
    record = {"source": SOURCES[0], "target": "a", "tokens": ["▁a"]}
    record |= {"log_probs": [{"▁a": -0.1, "▁b": -3.0}, {"</s>": -0.01, "▁a": -9.0}]}
    path = write(tmp_path / "given.jsonl", [record])
    kept, metrics = joined(made(tmp_path), path, soft_targets=True)
    left, _ = joined(made(tmp_path / "again"), path)
    found = [next(one for table in each.tables() for one in table.to_pylist() if one["texts"]) for each in (kept, left)]
    assert metrics["with_log_probs"] == 1
    assert found[0]["tokens"] == [["▁a"]]
    assert [[one["token"] for one in position] for position in found[0]["log_probs"][0]] == [
        ["▁a", "▁b"],
        ["</s>", "▁a"],
    ]
    assert (found[1]["tokens"], found[1]["log_probs"]) == ([None], [None])
    bare = write(tmp_path / "bare.jsonl", [{"source": SOURCES[0], "target": "a"}])
    with pytest.raises(DataError, match="no translation has log_probs, and soft_targets is true"):
        joined(made(tmp_path / "bare"), bare, soft_targets=True)
