"""Weights of sources in a training: how often rows come in each kind of data, and subwords that are sampled."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data.errors import ModelError
from data.model_folder import read_vocabulary
from stages.training.batches.batches import Position, Stream
from stages.training.batches.gathering import gathered
from tests.stages.student.test_soft import nbest_dataset
from tests.stages.student.test_student import ROWS, artifacts, corpus_table, dataset_table, out_of_english, run
from tests.stages.student.test_student import told_to_train as told_to_train

WEIGHTS = {"books": 3.0, "web": 0.5}
ORIGINS = ["books" if row % 3 == 0 else "web" if row % 3 == 1 else "news" for row in range(ROWS)]
# Of ten rows of each.
WANTED = {"books": 30.0, "web": 5.0, "news": 10.0}


def of_origins(table: pa.Table) -> pa.Table:
    if "id" not in table.column_names:
        table = table.append_column("id", pa.array([f"{row:032x}" for row in range(ROWS)]))
    return table.append_column("origin", pa.array(ORIGINS))


def drawn(stream: Stream, epochs: int) -> list[Counter[str]]:
    """Of each epoch the rows of each source, by their ids."""
    found = []
    origin_of = dict(zip(stream.shards[0]()["id"].to_pylist(), ORIGINS, strict=True))
    for epoch in range(epochs):
        (pool,) = gathered(stream, [0], Position(epoch), 10 * ROWS, 0, 0)
        ids = [each for table in pool.tables for each in table["id"].to_pylist()]
        found.append(Counter(origin_of[each] for each in ids))
    return found


@pytest.mark.parametrize("kind", ["hypothesis", "nbest", "reference"])
def test_rows_of_every_kind_of_data_come_as_often_as_their_source_says(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    made = nbest_dataset(tokens) if kind == "nbest" else dataset_table(tokens)
    corpus = {"train-00000": out_of_english(of_origins(corpus_table(1))), "valid-00000": corpus_table(5)}
    inputs = artifacts(tmp_path, tiny_teacher, out_of_english(of_origins(made)), corpus=corpus)
    told = told_to_train(monkeypatch)
    run(tmp_path, inputs, data=kind, weights=WEIGHTS)
    (stream,) = told["data"].streams
    epochs = drawn(stream, 40)
    assert {epoch["books"] for epoch in epochs} == {30} and {epoch["news"] for epoch in epochs} == {10}
    assert sum(epoch["web"] for epoch in epochs) == pytest.approx(40 * WANTED["web"], abs=10 * 2)
    # What is validated on has no weights.
    assert told["data"].valid[0].worth is None


def test_copies_draw_hypotheses_of_their_own(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two equal hypotheses as often as the other, whatever the weight is."""
    tokens = read_vocabulary(tiny_teacher, "target")
    inputs = artifacts(tmp_path, tiny_teacher, out_of_english(of_origins(nbest_dataset(tokens))))
    inputs["corpus"] = artifacts(tmp_path / "c", tiny_teacher, dataset_table(tokens), corpus={
        "train-00000": out_of_english(of_origins(corpus_table(1)))})["corpus"]  # fmt: skip
    told = told_to_train(monkeypatch)
    options: dict[str, Any] = {"weights": "utility", "temperature": 1e6}
    run(tmp_path, inputs, data="nbest", nbest=options, weights={"books": 1.5})
    (stream,) = told["data"].streams
    second: Counter[bool] = Counter()
    for epoch in range(200):
        (pool,) = gathered(stream, [0], Position(epoch), 10 * ROWS, 0, 0)
        for table in pool.tables:
            second.update(targets == ["a1"] for targets in table["target_tokens"].to_pylist())
    assert second.total() == pytest.approx(200 * 35, abs=40)
    assert second[True] / second.total() == pytest.approx(0.5, abs=0.02)


def test_a_training_with_weights_ends_and_counts_what_an_epoch_has(tmp_path: Path, tiny_teacher: Path) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    corpus = {"train-00000": out_of_english(of_origins(corpus_table(1))), "valid-00000": corpus_table(5)}
    inputs = artifacts(tmp_path, tiny_teacher, out_of_english(of_origins(dataset_table(tokens))), corpus=corpus)
    _, metrics = run(tmp_path, inputs, weights={"books": 3.0})
    assert metrics["streams"]["hypothesis"]["rows"] == 10 * 3 + 20


def test_subwords_are_sampled_where_the_recipe_says_so_and_the_tokenizer_can(
    tmp_path: Path, tiny_teacher: Path
) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(tokens))
    with pytest.raises(ModelError, match=r"only a SentencePiece model cuts a text in many ways"):
        run(tmp_path, inputs, subword_sampling={})
