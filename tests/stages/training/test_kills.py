"""A training that was killed again and again against one that was not: the same to the byte."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from data.runtime import Runtime
from stages.training.schedules import Schedule
from stages.training.validation_config import ValidationConfig
from tests.stages.training.toy import OPTIMISER, pairs, stream, train, training_data

STEPS = 60


class KilledError(BaseException):
    """Stands for a kill: nobody catches it."""


def some_too_long(rows: int, seed: int) -> pa.Table:
    return pairs(rows, seed, longest=12)


def arguments(**section: Any) -> dict[str, Any]:
    """Two streams of other lengths, several epochs, some rows too long, a mixture that shifts."""
    from stages.training.objective.config import plain_cross_entropy
    from stages.training.objective.phases import Phase

    streams = [stream("one", some_too_long(70, 1), some_too_long(40, 2)), stream("two", some_too_long(90, 9))]
    shares = {"one": 1.0, "two": Schedule(start=0.3, end=1.0, until=40)}
    optimiser = {"steps": STEPS, "max_tokens": 11, "accumulate": 2, "validate_every": 7, "checkpoint_every": 3}
    return {
        "data": training_data(streams=streams),
        "phases": [Phase(0, plain_cross_entropy(), shares)],
        "optimiser": OPTIMISER.model_copy(update=optimiser | {"report_every": 4}),
        "validation": ValidationConfig(**section),
    }


def killed(folder: Path, kills: int, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> dict[str, Any]:
    """Each call is killed in a random place: after a step, or while something is written."""
    chance = random.Random(5)  # noqa: S311
    for kill in range(kills):
        left = chance.randrange(1, 5)

        def count(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KilledError

        with monkeypatch.context() as patched:
            for target in ("stages.training.checkpoint.save", "stages.training.journal._append"):
                _before(patched, target, count)
            with pytest.raises(KilledError):
                # Whatever else runs then: the first call decides.
                threads = chance.choice([1, 2]) if kill else 1
                train(folder, runtime=Runtime(threads, "cpu", count), **given)
    return train(folder, **given)


def _before(patched: pytest.MonkeyPatch, target: str, count: Any) -> None:
    module, _, name = target.rpartition(".")
    whole = __import__(module, fromlist=[name])
    real = getattr(whole, name)
    patched.setattr(whole, name, lambda *arguments: (count(), real(*arguments))[1])


@pytest.mark.parametrize("section", [{}, {"ships": "best", "average": 2}, {"average": 3, "patience": 50}])
def test_twenty_kills_change_nothing(tmp_path: Path, section: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments(**section)
    whole = train(tmp_path / "whole", **given)
    broken = killed(tmp_path / "broken", 20, monkeypatch, given)
    assert whole.pop("timing").keys() == broken.pop("timing").keys()
    assert json.dumps(broken) == json.dumps(whole)
    for name in ("checkpoint.pt", "state.pt", "training.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    shown = [path.name for path in (tmp_path / "broken").iterdir() if not path.name.startswith(".")]
    assert sorted(shown) == ["checkpoint.pt", "state.pt", "timings.jsonl", "training.jsonl"]


def test_rows_are_counted_where_they_were_trained_on(tmp_path: Path) -> None:
    metrics = train(tmp_path, **arguments())
    for name, tables in (("one", [some_too_long(70, 1), some_too_long(40, 2)]), ("two", [some_too_long(90, 9)])):
        rows = [row for table in tables for row in table.to_pylist()]
        longer = sum(len(row["source"].split()) > 10 for row in rows)
        assert longer > 0
        assert metrics["streams"][name] == {"rows": len(rows) - longer, "skipped_rows": longer}


def test_a_training_goes_on_with_the_threads_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def progress(done: int, total: int | None, extras: Mapping[str, float]) -> None:
        seen.append(torch.get_num_threads())
        if len(seen) == 1:
            raise KilledError

    with pytest.raises(KilledError):
        train(tmp_path, runtime=Runtime(2, "cpu", progress))
    metrics = train(tmp_path, runtime=Runtime(1, "cpu", progress))
    assert set(seen) == {2} and metrics["threads"] == 2
