"""Made-up datasets are what their manifests say, and a training on one begins, ends and goes on from the middle."""

from pathlib import Path

import pytest

from bench import first_step, many_rows
from stages.languages.directions import directions_of
from stages.training.row_counts import by_direction, corpus_rows, dataset_rows


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(many_rows, "SHARD_ROWS", 60)
    monkeypatch.setattr(many_rows, "DIFFERENT", 2)
    many_rows.made_up(tmp_path, 300)
    return tmp_path


def test_manifests_tell_of_the_rows_that_are_there(made: Path) -> None:
    corpus, dataset = (many_rows.new_artifact(made / "large", name) for name in ("corpus", "dataset"))
    rows = [direction for table in dataset.tables() for direction in directions_of(table)]
    assert len(rows) == 300 and len(dataset.shard_names()) == 5
    counts = {direction: rows.count(direction) for direction in sorted(set(rows))}
    assert by_direction(corpus_rows(corpus)) == by_direction(dataset_rows(dataset, corpus)) == counts
    assert sum(bool(one.origin) for one in dataset_rows(dataset, corpus)) == len(many_rows.LANGUAGES)
    assert not dataset.verify() and not corpus.verify()


def test_it_is_ended_after_a_checkpoint_and_goes_on_elsewhere(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_step, "SHARD_ROW", 7)
    begun = first_step.train(made, 6, None)
    state = many_rows.new_artifact(made, "student").work_path() / ".state.pt"
    assert begun["seconds"] > 0 and begun["bytes"] > 0 and state.exists()
    assert first_step.train(made, 6, 3)["seconds"] > 0
    assert not state.exists()
