"""`potstill tune` in a process of its own: killed, and run again."""

import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.waiting import wait_until
from tests.pipeline.test_resume import start, wait_for_end

RECIPE = """
[corpus]
rows = 20
shard_rows = 5
[student]
seconds = 0.06
[student.optimiser]
steps = 8
[tune]
trials = 8
metric = "valid_loss"
startup_trials = 3
[tune.space]
"student.x" = {low = -1.0, high = 1.0}
"student.y" = {low = -1.0, high = 1.0}
"""
COMMAND = ("tune", "toy.toml", "--no-dashboard", "--workers", "1")


def tune(folder: Path) -> str:
    with start(folder, *COMMAND) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def trials(folder: Path) -> list[dict[str, Any]]:
    """What came out, without how long it took."""
    [path] = folder.glob("runs/toy/tune-*/tune.json")
    found: list[dict[str, Any]] = json.loads(path.read_text())["trials"]
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in found]


def wait_for_step(folder: Path, students: int, step: int) -> None:
    """Returns when so many students were begun and one of them has done so many steps but not all."""

    def there() -> bool:
        steps = []
        for path in folder.glob("runs/toy/student-*/.step"):
            with suppress(FileNotFoundError):  # its training has just ended
                steps.append(int(path.read_text() or 0))
        return len(list(folder.glob("runs/toy/student-*"))) >= students and any(step <= each < 8 for each in steps)

    wait_until(there, 0.005)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    for folder in (broken, unbroken):
        folder.mkdir()
        (folder / "toy.toml").write_text(RECIPE)
    return broken, unbroken


@pytest.mark.slow
def test_a_killed_sweep_keeps_its_trials_and_ends_as_an_unbroken_one(folders: tuple[Path, Path]) -> None:
    broken, unbroken = folders
    with start(broken, *COMMAND) as process:
        wait_for_step(broken, 3, 3)
        process.kill()
    wait_for_end(process.pid)
    made = {path: path.stat().st_mtime_ns for path in broken.glob("runs/toy/student-*/manifest.json")}
    assert len(made) >= 2
    output = tune(broken)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert f"{8 - len(made)} trials to go" in output
    tune(unbroken)
    assert trials(broken) == trials(unbroken)
    assert len(trials(broken)) == 8
    assert "pruned" in {trial["state"] for trial in trials(broken)}


@pytest.mark.slow
def test_a_signal_stops_it_cleanly_and_says_how_to_go_on(folders: tuple[Path, Path]) -> None:
    broken, _ = folders
    with start(broken, *COMMAND) as process:
        wait_for_step(broken, 1, 1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert errors == "stopped; what was finished is kept: the same command goes on from there\n"
    wait_for_end(process.pid)
