"""Ways to learn from the teacher's words, through the stage: drawn soft targets, temperatures, n-best lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from data.drawn_targets import counted, pack_drawn
from data.errors import DataError
from data.model_folder import read_vocabulary
from data.schema import NBEST
from data.soft_targets import SoftTargetFormat, flat, pack, topk
from stages.student.nbest import NBestConfig
from stages.student.stage import Config
from stages.student.streams import training_data, untaught
from stages.training.batches.batches import Position, Stream
from stages.training.batches.gathering import gathered
from stages.training.vocabulary import Vocabulary
from tests.stages.student.test_student import (
    ROWS,
    SMALL,
    artifacts,
    batches_learned,
    curve,
    dataset_table,
    out_of_english,
    run,
    told_to_train,
)


@pytest.fixture
def vocabulary(tiny_teacher: Path) -> list[str]:
    return read_vocabulary(tiny_teacher, "target")


def of_rows(table: pa.Table) -> dict[str, Any]:
    return {
        "row_ids": table["id"].to_pylist(),
        "lengths": table["length"].to_pylist(),
        "conditioning": "hypothesis",
        "token_log_probs": flat(table, "token_log_probs"),
        "entropy": flat(table, "entropy"),
    }


def changed_format(table: pa.Table, **changes: Any) -> SoftTargetFormat:
    return SoftTargetFormat.of(table.schema).model_copy(update=changes)


def with_text(soft: pa.Table, table: pa.Table) -> pa.Table:
    for name in ("source", "target_tokens"):
        soft = soft.append_column(name, table[name])
    return soft


def drawn_dataset(vocabulary: list[str]) -> pa.Table:
    table = dataset_table(vocabulary)
    ids = np.sort(np.repeat(topk(table)[0], [3, 1, 1], axis=1), axis=1)
    kept = changed_format(table, mode="sampled", k=0, draws=5)
    return with_text(pack_drawn(**of_rows(table), drawn=counted(ids), target_format=kept), table)


def tempered_dataset(vocabulary: list[str]) -> pa.Table:
    table = dataset_table(vocabulary)
    ids, log_probs, tail = topk(table)
    kept = changed_format(table, temperatures=(2.0,))
    soft = pack(
        **of_rows(table),
        topk_ids=ids,
        topk_log_probs=log_probs,
        tail_log_mass=tail,
        tempered_tail_log_mass=np.full((len(ids), 1), np.log(0.4)),
        target_format=kept,
    )
    return with_text(soft, table)


def nbest_dataset(vocabulary: list[str]) -> pa.Table:
    table = dataset_table(vocabulary)
    other = {"tokens": ["a1"], "text": "a1", "score": -0.5, "teacher": "teacher"}
    hypotheses = [
        [{"tokens": tokens, "text": " ".join(tokens), "score": -0.1, "teacher": "teacher"}, other]
        for tokens in table["target_tokens"].to_pylist()
    ]
    nbest = pa.array(hypotheses, NBEST.field("hypotheses").type)
    utility = pa.array([[10.0, 20.0]] * ROWS, pa.list_(pa.float32()))
    return table.append_column("hypotheses", nbest).append_column("utility", utility)


def test_it_learns_from_drawn_soft_targets(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    folder, metrics = run(tmp_path, artifacts(tmp_path, tiny_teacher, drawn_dataset(vocabulary)))
    assert (metrics["steps"], metrics["rows"]) == (6, ROWS)
    assert all(line["divergence"] > 0 for line in curve(folder) if "divergence" in line)


def test_drawn_soft_targets_have_no_other_temperature(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, drawn_dataset(vocabulary))
    term = {"temperature": 2, "missing_mass": "renormalise"}
    with pytest.raises(DataError, match="drawn at temperature 1 and estimate no other"):
        run(tmp_path, inputs, objective={"soft_targets": term})


def test_it_learns_at_a_temperature_that_was_stored(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, tempered_dataset(vocabulary))
    folder, _ = run(tmp_path, inputs, objective={"soft_targets": {"temperature": 2, "hardest": 0.5}})
    assert all(line["divergence"] > 0 for line in curve(folder) if "divergence" in line)


@pytest.mark.parametrize("phase", [False, True])
def test_a_temperature_that_was_not_stored_ends_it_before_the_first_step(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str], phase: bool
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, tempered_dataset(vocabulary))
    asked: dict[str, Any] = {"objective": {"soft_targets": {"temperature": 3}}}
    options = {"phases": [{"begin": 5, **asked}]} if phase else asked
    with pytest.raises(DataError, match="exact at temperature 1, 2 and not at 3"):
        run(tmp_path, inputs, **options)
    assert not list(tmp_path.rglob("training.jsonl")) or not curve(next(tmp_path.rglob("training.jsonl")).parent)


@pytest.mark.parametrize("weights", ["score", "utility"])
def test_it_learns_from_several_hypotheses_a_source(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str], weights: str
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, nbest_dataset(vocabulary))
    folder, metrics = run(tmp_path, inputs, data="nbest", nbest={"weights": weights, "temperature": 2.0})
    assert metrics["rows"] == ROWS  # an epoch draws one of two hypotheses a source
    assert not any("divergence" in line for line in curve(folder))


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ({"weights": "score", "temperature": 1e-3}, False),
        ({"weights": "utility", "temperature": 1e-3}, True),
        ({"weights": "utility", "temperature": 1e6, "count": 1}, True),
    ],
)
def test_the_recipe_says_which_hypotheses_are_drawn(
    tmp_path: Path,
    tiny_teacher: Path,
    vocabulary: list[str],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    other: bool,
) -> None:
    """The first of two has the higher score, the second, a1, the higher utility."""
    table = nbest_dataset(vocabulary)
    told = told_to_train(monkeypatch)
    run(tmp_path, artifacts(tmp_path, tiny_teacher, table), data="nbest", nbest=options)
    [stream] = told["data"].streams
    wanted = [hypotheses[int(other)]["tokens"] for hypotheses in table["hypotheses"].to_pylist()]
    for epoch in range(3):
        assert targets(stream, epoch) == wanted


def targets(stream: Stream, epoch: int) -> list[list[str]]:
    (pool,) = gathered(stream, [0], Position(epoch), 10 * ROWS, 0, 0)
    return [tokens for table in pool.tables for tokens in table["target_tokens"].to_pylist()]


def test_every_epoch_draws_anew_from_an_nbest(tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, nbest_dataset(vocabulary))
    course = Config.model_validate({"data": "nbest"}).course()
    options = NBestConfig(weights="utility", temperature=1e6)
    [stream] = training_data(inputs, course, vocabulary, Vocabulary.from_tokens(vocabulary), options).streams
    best = [hypotheses[0]["tokens"] for hypotheses in nbest_dataset(vocabulary)["hypotheses"].to_pylist()]
    epochs = [targets(stream, epoch) for epoch in range(2)]
    assert epochs[0] != epochs[1]
    for epoch in epochs:
        taken = [tokens == ["a1"] for tokens in epoch]
        assert [tokens for tokens, other in zip(epoch, taken, strict=True) if not other] == [
            tokens for tokens, other in zip(best, taken, strict=True) if not other
        ]
        assert 0.2 * ROWS < sum(taken) < 0.8 * ROWS


def test_an_nbest_mixes_with_soft_targets(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, nbest_dataset(vocabulary))
    learned = batches_learned(monkeypatch)
    optimiser = {"optimiser": SMALL["optimiser"] | {"report_every": 1, "steps": 30}}
    folder, metrics = run(tmp_path, inputs, data={"nbest": 1, "hypothesis": 1}, **optimiser)
    assert {name: each["rows"] for name, each in metrics["streams"].items()} == {"nbest": ROWS, "hypothesis": ROWS}
    assert set(learned) == {("nbest", False), ("hypothesis", True)}
    diverged = [line.get("divergence", 0) > 0 for line in curve(folder) if "loss" in line]
    assert diverged == [soft for _, soft in learned]


@pytest.mark.parametrize("cross_entropy", [0.0, 1.0])
def test_rows_that_no_teacher_was_for_are_learned_from_their_targets_alone(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str], cross_entropy: float
) -> None:
    """As if there were no soft targets; those of another pair are evenly spread and would be learned too."""
    table = dataset_table(vocabulary, target_format={"pairs": ("en-de",)})

    def learned(name: str, target: str, objective: dict[str, Any]) -> dict[str, Any]:
        inputs = artifacts(tmp_path / name, tiny_teacher, out_of_english(table, target))
        folder, _ = run(tmp_path / name, inputs, objective=objective)
        weights: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=False)["model"]
        return weights

    plain = learned("plain", "fi", {"soft_targets": {"weight": 0.0}})
    alone = learned("alone", "fi", {"cross_entropy": cross_entropy})
    assert all(torch.equal(alone[key], value) for key, value in plain.items())
    taught = learned("taught", "de", {"cross_entropy": cross_entropy})
    assert not all(torch.equal(taught[key], value) for key, value in plain.items())


def test_a_phase_of_hypotheses_that_weighs_no_soft_targets_is_not_taken_for_untaught(
    tmp_path: Path, tiny_teacher: Path, vocabulary: list[str]
) -> None:
    """Though the default objective of the phase before weighs some."""
    config = Config.model_validate(
        {
            "data": "reference",
            "phases": [{"begin": 3, "data": "hypothesis", "objective": {"soft_targets": {"weight": 0}}}],
        }
    )
    inputs, tokens = artifacts(tmp_path, tiny_teacher, dataset_table(vocabulary)), Vocabulary.from_tokens(vocabulary)
    data = training_data(inputs, config.course(), vocabulary, tokens, config.nbest)
    assert data.streams[1].soft_targets is None and untaught(data, config.course()) == []
