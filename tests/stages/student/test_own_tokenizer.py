"""A student with a tokenizer of its own: its vocabulary, what it reads of the dataset, and its exported folder."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.export import stage as export
from stages.loaded_model.translate import load_translator, translate_lines
from stages.student import stage as student
from stages.student.nbest import COLUMNS as NBEST_COLUMNS
from stages.student.nbest import TARGET, NBestConfig, drawn
from stages.text.tokenizer import load_tokenizer
from stages.training.vocabulary import Vocabulary
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.fixtures.tiny_student import (
    SENTENCES,
    PiecesShape,
    corpus_artifact,
    tokenizer_pieces,
    write_tiny_tokenizer,
)
from tests.fixtures.tiny_teacher import write_tiny_teacher

SMALL: dict[str, Any] = {
    "model": {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 16},
    "optimiser": {"steps": 4, "batch_tokens": 80, "report_every": 2, "precision": "float32"},
    "objective": {"soft_targets": {"weight": 0.0}},
}


def dataset() -> pa.Table:
    """Tokens that no student's tokenizer would make, and two hypotheses for each source."""
    hypotheses = [
        [{"tokens": ["#"], "text": text, "score": -0.5}, {"tokens": ["#"], "text": SENTENCES[3], "score": -0.7}]
        for text in SENTENCES[:3]
    ]
    return pa.table(
        {
            "id": [f"{number:032x}" for number in range(3)],
            "source": list(SENTENCES[3:]),
            "target": list(SENTENCES[:3]),
            "target_tokens": [["#"]] * 3,
            "hypotheses": hypotheses,
            "utility": [[1.0, 0.5]] * 3,
        }
    )


@pytest.fixture
def inputs(tmp_path: Path, tiny_teacher: Path) -> dict[str, Artifact]:
    own = write_tiny_tokenizer(tmp_path / "subwords")
    return {
        "dataset": artifact_of_tables(tmp_path, "dataset", {"train-00000": dataset()}),
        "corpus": corpus_artifact(tmp_path),
        "tokenizer": words_tokenizer(tmp_path),
        "teacher": artifact_of_folder(tmp_path, "teacher", tiny_teacher),
        "student_tokenizer": artifact_of_folder(tmp_path, "student_tokenizer", own),
    }


def run(store: Path, inputs: dict[str, Artifact], **options: Any) -> tuple[Artifact, dict[str, Any]]:
    config = student.Config.model_validate(SMALL | options)
    output = new_artifact(store, "student")
    metrics = student.run(inputs, config, output, Runtime())
    output.complete(stage="student", version="1", config=config.model_dump(), inputs={}, libraries={}, metrics=metrics)
    return output, metrics


@pytest.mark.parametrize("data", ["hypothesis", "nbest", "reference"])
def test_its_vocabulary_is_its_own_and_texts_are_tokenised_anew(
    tmp_path: Path, inputs: dict[str, Artifact], data: str
) -> None:
    pieces = tokenizer_pieces(inputs["student_tokenizer"].path())
    _, metrics = run(tmp_path, inputs, data=data)
    assert metrics["target_vocabulary"] == metrics["source_vocabulary"] == 4 + len(pieces)
    tokenizer = load_tokenizer(inputs["student_tokenizer"].path())
    [table] = inputs["dataset"].tables("", NBEST_COLUMNS)
    texts = {
        "hypothesis": 4 * SENTENCES[:3],
        "nbest": [
            text for epoch in range(4) for text in drawn(table, epoch, NBestConfig(), "text")[TARGET].to_pylist()
        ],
        "reference": 4 * SENTENCES[2:3],
    }
    # One batch holds all rows, so each of four steps sees the tokens of all of them, and an end for each.
    longer = dict(SMALL["optimiser"], batch_tokens=4000)
    _, whole = run(tmp_path / "whole", inputs, data=data, optimiser=longer)
    assert whole["tokens"] == sum(len(row) + 1 for row in tokenizer.encode_target(list(texts[data])))
    assert set(texts["nbest"]) <= set(SENTENCES)


def test_it_is_exported_with_its_own_tokenizer(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    trained, _ = run(tmp_path, inputs)
    output = new_artifact(tmp_path, "export")
    export.run({**inputs, "student": trained}, export.Config(), output, Runtime())
    folder = closed(output).path()
    assert (folder / "source.spm").read_bytes() == (tmp_path / "subwords" / "source.spm").read_bytes()
    assert read_vocabulary(folder, "target")[4:] == list(tokenizer_pieces(tmp_path / "subwords"))


@pytest.mark.parametrize("section", ["tokenizer", "student_tokenizer"])
def test_subwords_of_a_tokenizer_json_are_learned_and_exported(
    section: str, tmp_path: Path, inputs: dict[str, Artifact]
) -> None:
    own = write_tiny_tokenizer(tmp_path / "library", kind="library")
    del inputs["student_tokenizer"]
    inputs[section] = artifact_of_folder(tmp_path / "library", section, own)
    tokenizer = load_tokenizer(own)
    if section == "tokenizer":
        shape = PiecesShape(pieces=tokenizer_pieces(own))
        teacher = write_tiny_teacher(tmp_path / "teacher", shape=shape)
        inputs["teacher"] = artifact_of_folder(tmp_path / "library", "teacher", teacher)
    rows = dataset()
    tokens = pa.array(tokenizer.encode_target(rows.column("target").to_pylist()))
    rows = rows.set_column(rows.column_names.index("target_tokens"), "target_tokens", tokens)
    inputs["dataset"] = artifact_of_tables(tmp_path / "library", "dataset", {"train-00000": rows})
    trained, metrics = run(tmp_path, inputs, data="hypothesis", optimiser=dict(SMALL["optimiser"], batch_tokens=4000))
    assert metrics["tokens"] == 4 * sum(len(row) + 1 for row in tokens.to_pylist())
    output = new_artifact(tmp_path, "export")
    export.run({**inputs, "student": trained}, export.Config(), output, Runtime())
    folder = closed(output).path()
    assert (folder / "subwords.json").read_bytes() == (own / "subwords.json").read_bytes()
    vocabulary = read_vocabulary(folder, "target")
    assert vocabulary == list(Vocabulary.from_tokens(tokenizer.target_pieces()).tokens)
    # What it reads is in its vocabulary, but for marks, which no text becomes.
    (read,) = load_translator(folder, threads=1).tokenizer.encode_source(["Turn on </s> the <|end|>"])
    assert set(read) <= set(vocabulary) - {"</s>", "<|end|>"}
    assert len(list(translate_lines(folder, ["Turn on </s> the light <|end|>", ""]))) == 2
