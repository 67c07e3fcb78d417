"""The real command in a process of its own: killed, stopped, and run again."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.waiting import wait_until

ROOT = Path(__file__).parents[2]
RECIPE = "[corpus]\nrows = 60\nshard_rows = 5\n[base]\n[shout]\nseconds = 0.25\n"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.pipeline.toy", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> str:
    with start(folder, "run", "toy.toml", "--no-dashboard", *arguments) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def wait_for_shards(folder: Path, count: int) -> None:
    """Returns as soon as so many shards of `shout` are whole: others are then being made."""
    wait_until(lambda: len(list(folder.glob("runs/toy/shout-*/.records/*.json"))) >= count)


def alive_in_group(group: int) -> list[str]:
    """State and command of every process of the group, the dead that nobody waited for aside."""
    alive = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = path.read_text().split(" (", 1)[1].rsplit(")", 1)
        except FileNotFoundError:
            continue
        state, _, found_group = fields.split()[:3]
        if int(found_group) == group and state != "Z":
            alive.append(f"{state} {name}")
    return alive


def wait_for_end(group: int) -> None:
    """Returns when no process of the group is left."""
    wait_until(lambda: not alive_in_group(group))


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file of every artefact; manifests aside, which hold the time of day."""
    files = [path for path in folder.glob("runs/toy/*/*") if path.is_file() and path.name != "manifest.json"]
    root = folder / "runs"
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    for folder in (broken, unbroken):
        folder.mkdir()
        (folder / "toy.toml").write_text(RECIPE)
    return broken, unbroken


@pytest.mark.slow
def test_a_run_killed_amid_its_shards_ends_as_an_unbroken_one(folders: tuple[Path, Path]) -> None:
    broken, unbroken = folders
    with start(broken, "run", "toy.toml", "--no-dashboard") as process:
        wait_for_shards(broken, 3)
        process.kill()
    # Workers end with the process that started them, and leave what they were at.
    wait_for_end(process.pid)
    assert not list(broken.glob("runs/toy/shout-*/manifest.json"))
    # A shard without its record yet is made again.
    records = broken.glob("runs/toy/shout-*/.records/*.json")
    shards = [path.parents[1] / path.stem for path in records]
    made = {path: path.stat().st_mtime_ns for path in shards}
    assert 3 <= len(made) < 12

    assert "of 60 are there already" in run(broken)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    run(unbroken)
    assert contents(broken) == contents(unbroken)
    assert len(contents(broken)) == 13 + 12 + 12 + 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(folders: tuple[Path, Path], number: signal.Signals) -> None:
    broken, _ = folders
    with start(broken, "run", "toy.toml", "--no-dashboard") as process:
        wait_for_shards(broken, 2)
        # As `timeout` does it, and Ctrl-C in a terminal: to the workers as well.
        process.send_signal(number)
        os.killpg(process.pid, number)
        _, errors = process.communicate()
    assert process.returncode == 128 + number
    assert errors == "stopped; what was finished is kept: the same command goes on from there\n"
    wait_for_end(process.pid)


@pytest.mark.slow
def test_a_second_run_does_next_to_nothing(folders: tuple[Path, Path]) -> None:
    _, unbroken = folders
    started = _processor_seconds()
    run(unbroken, "--set", "shout.seconds=0")
    worked = _processor_seconds()
    assert "nothing to do" in run(unbroken, "--set", "shout.seconds=0")
    # No cluster is started, no library loaded that only work needs.
    assert _processor_seconds() - worked < (worked - started) / 3


def _processor_seconds() -> float:
    """Of all processes that this one waited for: other programs of the machine are not what is tested."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
