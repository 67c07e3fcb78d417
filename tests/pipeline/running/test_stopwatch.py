"""A stage's seconds over calls that were cut short, on a clock that the test turns."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import PotstillError, StorageError
from data.store import Artifact, Store
from pipeline.running.stopwatch import Stopwatch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("pipeline.running.stopwatch.time.monotonic", made)
    return made


def complete(output: Artifact, seconds: float) -> None:
    output.complete(stage="decode", version="1", config={}, inputs={}, libraries={}, seconds=seconds)


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_calls_that_were_cut_short_count_up_to_their_last_note(tmp_path: Path, clock: Clock, scheme: str) -> None:
    output = Store(f"{scheme}{tmp_path}").artifact("decode", "0" * 20)
    first = Stopwatch(output)
    for second in range(1, 36):
        clock.now = 1000.0 + second
        first.tick()
    assert (first.seconds, first.of_this_call) == (35.0, 35.0)
    clock.now = 5000.0
    second_call = Stopwatch(output)
    clock.now = 5003.0
    assert (second_call.seconds, second_call.of_this_call) == (33.0, 3.0)
    output.write_shard("train-00000", pa.table({"id": ["a"]}))
    complete(output, second_call.seconds)
    assert output.manifest().seconds == 33.0
    assert output.earlier_seconds() == 0.0


def test_a_mended_artefact_counts_what_it_took_before(tmp_path: Path, clock: Clock) -> None:
    output = Store(str(tmp_path)).artifact("decode", "0" * 20)
    for name in ("train-00000", "train-00001"):
        output.write_shard(name, pa.table({"id": [name]}))
    complete(output, 50.0)
    (Path(output.url) / "train-00001.parquet").unlink()
    output.reopen()
    assert Stopwatch(output).seconds == 50.0


def test_a_store_that_failed_for_a_moment_costs_a_note_and_nothing_else(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output = Store(str(tmp_path)).artifact("decode", "0" * 20)
    watch = Stopwatch(output)
    clock.now = 1011.0
    with monkeypatch.context() as patched:
        patched.setattr("data.folder.write_atomically", _failing(StorageError("cannot be reached: slow; try again")))
        watch.tick()
    assert "seconds that decode took so far are not noted: cannot be reached: slow" in caplog.text
    assert output.earlier_seconds() == 0.0
    clock.now = 1022.0
    watch.tick()
    assert output.earlier_seconds() == 22.0
    clock.now = 1033.0
    monkeypatch.setattr("data.folder.write_atomically", _failing(PotstillError("the disk is full")))
    with pytest.raises(PotstillError, match="the disk is full"):
        watch.tick()


def _failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail
