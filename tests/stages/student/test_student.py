"""The stage on artefacts of a tiny teacher: which data, which vocabulary, and what does not fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.model_folder import read_vocabulary, vocabulary_digest
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, pack
from stages.student import stage as student
from stages.student.stage import Config
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, new_artifact

K = 3
SMALL = {
    "model": {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 16},
    "optimiser": {"steps": 6, "batch_tokens": 60, "report_every": 3, "precision": "float32"},
}
ROWS = 30


def words(seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [[f"a{number}" for number in random.integers(0, 36, random.integers(1, 6))] for _ in range(ROWS)]


def dataset_table(vocabulary: list[str], **changes: Any) -> pa.Table:
    """Columns of the dataset that the student reads; the soft targets know the hypothesis with probability 0.7."""
    sources, targets = words(1), words(2)
    index = {token: number for number, token in enumerate(vocabulary)}
    forced = [index[token] for target in targets for token in [*target, "</s>"]]
    ids = np.stack([forced, np.add(forced, 1) % len(vocabulary), np.add(forced, 2) % len(vocabulary)], 1)
    log_probs = np.log(np.tile([0.7, 0.1, 0.05], (len(forced), 1)))
    values = {
        "k": K,
        "vocabulary_size": len(vocabulary),
        "ids_dtype": "uint16",
        "vocabulary_digest": vocabulary_digest(vocabulary),
        "teacher_digest": "0",
        "compute_type": "float32",
        "backend": "torch",
    }
    soft = pack(
        row_ids=[f"{number:032x}" for number in range(ROWS)],
        lengths=changes.get("lengths") or [len(target) + 1 for target in targets],
        conditioning="hypothesis",
        topk_ids=ids,
        topk_log_probs=log_probs,
        tail_log_mass=np.log(np.full(len(forced), 0.15)),
        token_log_probs=log_probs[:, 0],
        entropy=np.ones(len(forced)),
        target_format=SoftTargetFormat(**(values | changes.get("target_format", {}))),
    )
    return soft.append_column("source", pa.array([" ".join(row) for row in sources])).append_column(
        "target_tokens", pa.array(targets)
    )


def corpus_table(seed: int, references: bool = True) -> pa.Table:
    targets = [" ".join(row) for row in words(seed + 10)]
    rows = targets if references else [None] * ROWS
    return pa.table({"source": [" ".join(row) for row in words(seed)], "reference": pa.array(rows, pa.string())})


def out_of_english(table: pa.Table, target: str = "de") -> pa.Table:
    """The same, with the columns of languages."""
    for name, language in (("source_language", "en"), ("target_language", target)):
        table = table.append_column(name, pa.array([language] * len(table)))
    return table


@pytest.fixture
def vocabulary(tiny_teacher: Path) -> list[str]:
    return read_vocabulary(tiny_teacher, "target")


def artifacts(
    folder: Path,
    teacher: Path,
    dataset: pa.Table,
    *,
    references: bool = True,
    valid: bool = True,
    corpus: Mapping[str, pa.Table] | None = None,
) -> dict[str, Artifact]:
    from tests.fixtures.tiny_student import write_tiny_tokenizer

    corpus = dict(corpus or {"train-00000": corpus_table(1, references)})
    if valid and "valid-00000" not in corpus:
        corpus["valid-00000"] = corpus_table(5)
    tokenizer = write_tiny_tokenizer(folder / "spaces", kind="none")
    return {
        "dataset": artifact_of_tables(folder, "dataset", {"train-00000": dataset}),
        "corpus": artifact_of_tables(folder, "corpus", corpus),
        "tokenizer": artifact_of_folder(folder, "tokenizer", tokenizer),
        "teacher": artifact_of_folder(folder, "teacher", teacher),
    }


def run(
    folder: Path, inputs: Mapping[str, Artifact], node: str = "student", **options: Any
) -> tuple[Path, dict[str, Any]]:
    config = Config.model_validate(SMALL | options)
    output = new_artifact(folder, node)
    given = {name: inputs[name] for name in student.inputs(config)}
    metrics = student.run(given, config, output, Runtime())
    return output.work_path(), metrics


def told_to_train(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Filled with what the stage tells the trainer, which does not train, when it runs."""
    told: dict[str, Any] = {}

    def taken(**arguments: Any) -> dict[str, Any]:
        told.update(arguments)
        return {}

    monkeypatch.setattr("stages.training.api.train_transformer", taken)
    return told


def batches_learned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Filled with the stream of every training batch, and whether it has soft targets, when the stage runs."""
    from stages.training.step_loss import DistillationLoss

    learned: list[tuple[str, bool]] = []
    forward = DistillationLoss.forward

    def noted(loss: DistillationLoss, batch: dict[str, Any], *arguments: Any) -> Any:
        if not batch["stream"].startswith("valid"):
            learned.append((batch["stream"], "kd_ids" in batch))
        return forward(loss, batch, *arguments)

    monkeypatch.setattr(DistillationLoss, "forward", noted)
    return learned


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def test_it_learns_from_hypotheses_and_soft_targets(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    from stages.training.checkpoint import load_model

    folder, metrics = run(tmp_path, artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary)))
    network = load_model(folder / "checkpoint.pt", "cpu")
    assert set(network.target_vocabulary.tokens) == set(vocabulary)
    assert (metrics["steps"], metrics["rows"], metrics["skipped_rows"]) == (6, ROWS, 0)
    assert metrics["valid_cross_entropy"] > 0
    assert all(line["divergence"] > 0 for line in curve(folder) if "divergence" in line)
    json.dumps(metrics)


def test_soft_targets_are_left_unread_with_weight_0(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    table = dataset_table(vocabulary).select(["id", "source", "target_tokens"])
    folder, _ = run(tmp_path, artifacts(tmp_path, tiny_teacher, table), objective={"soft_targets": {"weight": 0.0}})
    assert not any("divergence" in line for line in curve(folder))


def test_the_baseline_trains_on_references_without_a_dataset(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary))
    del inputs["dataset"]
    _, metrics = run(tmp_path, inputs, "baseline", data="reference")
    assert (metrics["steps"], metrics["rows"]) == (6, ROWS)


def test_it_validates_on_the_valid_split(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary), valid=False)
    _, metrics = run(tmp_path, inputs)
    assert "valid_cross_entropy" not in metrics


def test_a_corpus_without_references_trains_no_baseline(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary), references=False)
    with pytest.raises(DataError, match="no row with a reference"):
        run(tmp_path, inputs, "baseline", data="reference")


def test_soft_targets_of_another_vocabulary_are_an_error(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]
) -> None:
    table = dataset_table(vocabulary, target_format={"vocabulary_digest": "0123"})
    with pytest.raises(ModelError, match=r"vocabulary 0123, and this teacher's is .*score again"):
        run(tmp_path, artifacts(tmp_path, tiny_teacher, table))


def test_soft_targets_of_another_target_are_an_error(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    lengths = [len(target) + 1 for target in words(2)]
    place = next(number for number in range(ROWS - 1) if lengths[number + 1] > 1)
    lengths[place], lengths[place + 1] = lengths[place] + 1, lengths[place + 1] - 1
    table = dataset_table(vocabulary, lengths=lengths)
    with pytest.raises(DataError, match=rf"row {place:032x}: soft targets of {lengths[place]} positions"):
        run(tmp_path, artifacts(tmp_path, tiny_teacher, table))


def test_a_dataset_without_soft_targets_says_so(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    table = dataset_table(vocabulary).replace_schema_metadata(None)
    with pytest.raises(DataError, match="run the stage score"):
        run(tmp_path, artifacts(tmp_path, tiny_teacher, table))


def test_references_alone_need_no_dataset() -> None:
    assert student.inputs(Config(data="reference")) == ("corpus", "tokenizer", "teacher")
    later = {"data": "reference", "phases": [{"begin": 10, "data": {"hypothesis": 0.5, "reference": 0.5}}]}
    assert student.inputs(Config.model_validate(later)) == student.INPUTS


def test_a_mixture_trains_on_every_kind(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary))
    _, metrics = run(
        tmp_path,
        inputs,
        data={"hypothesis": 1, "reference": 1},
        phases=[{"begin": 20, "data": "reference"}],
        optimiser=SMALL["optimiser"] | {"steps": 30},
    )
    assert metrics["steps"] == 30
    assert {name: each["rows"] for name, each in metrics["streams"].items()} == {"hypothesis": ROWS, "reference": ROWS}


def test_a_phase_changes_the_objective(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    later = {"begin": 3, "objective": {"soft_targets": {"weight": 0}}}
    folder, _ = run(tmp_path, artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary)), phases=[later])
    divergence = {line["step"]: line.get("divergence") for line in curve(folder) if "loss" in line}
    assert divergence[3] > 0 and divergence[6] is None


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"objective": {"soft_targets": {"weight": 0}, "cross_entropy": 0}}, "nothing is learned from it"),
        ({"data": "reference", "objective": {"cross_entropy": 0}}, "nothing is learned from it"),
        (
            {"data": "reference", "objective": {"cross_entropy": {"start": 1, "end": 0, "until": 4}}},
            "in step 4 every weight is 0 for data = 'reference'",
        ),
        (
            {
                "objective": {"cross_entropy": {"start": 1, "end": 0, "until": 3}},
                "phases": [{"begin": 3, "data": "reference"}],
            },
            "in step 4 every weight is 0 for data = 'reference'",
        ),
        (
            {"phases": [{"begin": 3, "data": "reference", "objective": {"soft_targets": {"weight": 1}}}]},
            "belong to the dataset",
        ),
        ({"data": "reference", "objective": {"soft_targets": {"weight": 1}}}, "belong to the dataset"),
        (
            {"data": {"hypothesis": 1, "reference": 1}, "objective": {"cross_entropy": 0}},
            "every weight is 0 for data = 'reference'",
        ),
        ({"data": {"hypothesis": 0}}, "nothing to train on"),
        ({"data": {"hypothesis": {"start": 1, "end": 0, "until": 100}}}, "in step 100 every share is 0"),
        (
            {
                "data": {
                    "hypothesis": {"start": 1, "end": 0, "until": 1000},
                    "reference": {"start": 0, "end": 1, "begin": 1000, "until": 2000},
                }
            },
            "in step 1000 every share is 0",
        ),
        (
            {"phases": [{"begin": 5, "data": {"reference": {"start": 0, "end": 1, "course": "step", "until": 9}}}]},
            "in step 6 every share is 0",
        ),
        ({"phases": [{"begin": 9}, {"begin": 5}]}, "later and later"),
        ({"phases": [{"begin": 4000}]}, "before the last step"),
        ({"objective": {"soft_targets": {"temperature": 0}}}, "greater than 0"),
        ({"objective": {"cross_entropy": {"start": 1, "end": -1, "until": 5}}}, "at least 0 in every step"),
        ({"objective": {"soft_targets": {"missing_mass": "drop"}}}, "'ghost', 'renormalise' or 'gold'"),
        ({"model": {"width": 130, "heads": 4}}, "multiple of heads"),
        ({"optimiser": {"stepz": 3}}, "Extra inputs"),
    ],
)
def test_faulty_options_are_named(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Config.model_validate(options)


def test_pairs_that_no_teacher_scored_learn_from_targets_alone(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]
) -> None:
    made = dataset_table(vocabulary, target_format={"pairs": ("en-fr",)})
    corpus = {"train-00000": out_of_english(corpus_table(1)), "valid-00000": out_of_english(corpus_table(5))}
    inputs = artifacts(tmp_path, tiny_teacher, out_of_english(made), corpus=corpus)
    languages = {"languages": {"tags": "none"}}
    unscored, _ = run(tmp_path / "unscored", inputs, objective={"cross_entropy": 0.3}, **languages)
    plain, _ = run(tmp_path / "plain", inputs, objective={"soft_targets": {"weight": 0.0}}, **languages)
    assert curve(unscored) == curve(plain)
