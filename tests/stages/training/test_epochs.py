"""Epochs as steps against batches that are counted, and what is told of either."""

from pathlib import Path
from typing import Any

import pytest

from stages.training.batches.batches import BatchSource, Position
from stages.training.config import OptimiserConfig
from stages.training.epochs import batches_of_an_epoch
from stages.training.vocabulary import Vocabulary
from tests.stages.training.test_kills import KilledError
from tests.stages.training.toy import OPTIMISER, WORDS, Spaces, pairs, stream, train, training_data

VOCABULARY = Vocabulary.from_tokens(WORDS)


def source(name: str, shuffle_rows: int, *tables: Any) -> BatchSource:
    held = stream(name, *tables)
    return BatchSource(held, Spaces(), VOCABULARY, VOCABULARY, 60, 9, shuffle_rows, 1, most_rows=shuffle_rows)


def counted(one: BatchSource) -> int:
    return sum(1 for _ in one.batches(Position(), epochs=1))


def test_of_rows_in_one_pool_it_is_next_to_exact() -> None:
    one, other = source("one", 500, pairs(70, 1), pairs(40, 2)), source("two", 500, pairs(90, 3, longest=12))
    rows = {"one": 110, "two": 90}
    found = batches_of_an_epoch([one, other], rows)
    assert found == pytest.approx(counted(one) + counted(other), rel=0.03)
    # What was looked at does not count as read.
    assert not source("one", 500).counts and other.fullest_epoch().rows


def test_of_more_it_is_close() -> None:
    one = source("one", 100, pairs(1000, 1))
    assert batches_of_an_epoch([one], {"one": 1000}) == pytest.approx(counted(one), rel=0.05)


def optimiser(**changes: Any) -> OptimiserConfig:
    given = OPTIMISER.model_dump(exclude={"steps"}) | {"shuffle_rows": 500, "batch_tokens": 60} | changes
    return OptimiserConfig.model_validate(given)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("epochs", [1.0, 2.5])
def test_a_training_makes_so_many_passes(tmp_path: Path, epochs: float, accumulate: int) -> None:
    data = training_data(rows={"reference": 110})
    metrics = train(tmp_path, data=data, optimiser=optimiser(epochs=epochs, accumulate=accumulate))
    assert metrics["epochs"] == pytest.approx(epochs, abs=0.15)
    an_epoch = batches_of_an_epoch([source("reference", 500, *(read() for read in stream().shards))], data.rows)
    assert metrics["steps"] == -(-epochs * an_epoch // accumulate)


def test_steps_are_told_in_epochs_too(tmp_path: Path) -> None:
    data = training_data(rows={"reference": 110})
    metrics = train(tmp_path / "few", data=data, optimiser=OPTIMISER.model_copy(update={"steps": 3}))
    rows = metrics["streams"]["reference"]["rows"]
    assert 0 < metrics["epochs"] < 0.5 and rows == OPTIMISER.shuffle_rows
    assert 0.5 < metrics["batch_fill"] <= 1
    unknown = train(tmp_path / "unknown", optimiser=OPTIMISER.model_copy(update={"steps": 3}))
    assert "epochs" not in unknown


def test_a_killed_training_has_as_many_steps(tmp_path: Path) -> None:
    data, given = training_data(rows={"reference": 110}), optimiser(epochs=2, report_every=1)

    def stop(done: int, total: int | None, extras: object) -> None:
        if done == 9:
            raise KilledError

    whole = train(tmp_path / "whole", data=data, optimiser=given)
    with pytest.raises(KilledError):
        train(tmp_path / "broken", data=data, optimiser=given, progress=stop)
    assert train(tmp_path / "broken", data=data, optimiser=given)["steps"] == whole["steps"]
    assert (tmp_path / "broken/checkpoint.pt").read_bytes() == (tmp_path / "whole/checkpoint.pt").read_bytes()
