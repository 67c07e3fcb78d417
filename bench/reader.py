"""How a training is fed: what many language pairs cost, when a large one begins, what it holds, and how long it waits.

`python -m bench.reader` writes bench/results/reader.json; `--quick` looks at little and writes nothing.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import fixtures
from bench.first_step import config
from bench.fixtures import ROOT, close, new_artifact
from bench.many_rows import SHARD_ROWS, made_up
from bench.records import Record, median, record, run_suite
from bench.turns import by_turns
from data.artifact import Artifact
from data.runtime import Runtime
from stages.student import stage as student

PACKAGES = ("torch", "pyarrow", "sentencepiece")
# The tree that waiting is compared with: the last before pools were made ahead.
BEFORE = "fdd273b"
# As demo-full's student.
MODEL = {"encoder_layers": 2, "decoder_layers": 1, "width": 160, "heads": 4, "feed_forward": 640}


def streams_records(folder: Path, *, quick: bool) -> list[Record]:
    """A training of twenty pairs against one that takes the same rows for one pair's, by processor seconds a token."""
    inputs = made_up(folder, 10 * SHARD_ROWS)
    steps = 30 if quick else 400
    options: dict[str, Any] = {"model": MODEL, "data": "hypothesis"}
    contenders = {
        "20 pairs": config(steps, languages={"tags": "none"}, **options),
        "1 pair": config(steps, languages=None, **options),
    }

    def run(name: str) -> float:
        output = new_artifact(folder, "student")
        metrics = student.run(inputs, contenders[name], output, Runtime(1))
        shutil.rmtree(output.work_path())
        return float(metrics["cpu_seconds"]) / metrics["tokens"]

    turns = by_turns({name: partial(run, name) for name in reversed(contenders)}, 1 if quick else 3)
    against = "processor seconds a target token of the same rows as one language pair's"
    return [_record("reader_streams_cost", turns.ratio("20 pairs", "1 pair"), "ratio", against, turns.detail())]


def start_records(folder: Path, *, quick: bool) -> list[Record]:
    """When trainings on few rows and on many do their first step, anew and from the middle, and what they hold."""
    few, many = (2 * SHARD_ROWS, 10 * SHARD_ROWS) if quick else (10 * SHARD_ROWS, 1000 * SHARD_ROWS)
    steps = 30 if quick else 600
    found: dict[str, list[dict[str, float]]] = {}
    for rows in (few, many):
        place = folder / str(rows)
        made_up(place, rows)
        for _ in range(1 if quick else 3):
            # The first is ended as a kill would end it, and the second goes on as if it stood in the middle.
            arguments = [str(place), str(steps)]
            found.setdefault(f"{rows} rows", []).append(_told("bench.first_step", arguments, ROOT))
            arguments.append(str(rows // SHARD_ROWS // 2))
            found.setdefault(f"{rows} rows, from the middle", []).append(_told("bench.first_step", arguments, ROOT))
            shutil.rmtree(new_artifact(place, "student").work_path())
        shutil.rmtree(place)
    seconds = {name: median([one["seconds"] for one in each]) for name, each in found.items()}
    memory = {name: median([one["bytes"] for one in each]) for name, each in found.items()}
    whole, resumed = f"{many} rows", f"{many} rows, from the middle"
    detail = {"seconds": seconds, "bytes": memory, "steps": steps, "pairs": 20, "data": "hypotheses and references"}
    of_few = f"a training on {few:,} rows"
    return [
        _record("train_start_seconds_10m", seconds[whole], "s", "from the process's start to its first step", detail),
        _record("train_resume_seconds_10m", seconds[resumed], "s", "the same from the middle of an epoch", detail),
        _record("train_memory_ratio", memory[whole] / memory[f"{few} rows"], "ratio", of_few, detail),
        _record("train_resume_memory_ratio", memory[resumed] / memory[f"{few} rows"], "ratio", of_few, detail),
    ]


def waiting_records(folder: Path, *, quick: bool) -> list[Record]:
    """The share of the time that a device of fast steps has nothing to do, in this tree and in an older one."""
    fixture = fixtures.demo(folder / "demo")
    _write_text(fixture.artifacts["corpus"], folder)
    shutil.copytree(fixture.tokenizer(), folder / "subwords")
    before = _tree(BEFORE, folder / "before")
    shutil.copy(ROOT / "bench" / "idle_share.py", before / "bench" / "idle_share.py")
    arguments = [str(folder), "4", "150" if quick else "2500"]
    found: dict[str, list[float]] = {"before": [], "now": []}
    for _ in range(1 if quick else 3):
        for name, tree in (("before", before), ("now", ROOT)):
            found[name].append(_told("bench.idle_share", arguments, tree)["share"])
    detail = {"shares": found, "milliseconds_a_batch": 4, "before": BEFORE}
    shares = {name: median(each) for name, each in found.items()}
    against = f"of the time of a device that takes 4 ms a batch; {shares['before']:.3f} at {BEFORE}"
    return [_record("reader_idle_share", shares["now"], "share", against, detail)]


def _write_text(corpus: Artifact, folder: Path) -> None:
    text = new_artifact(folder, "text")
    for name in corpus.shard_names("train-"):
        table = corpus.read_shard(name, ("source", "reference"))
        text.write_shard(name, table.filter(table["reference"].is_valid()))
    close(text)


def _tree(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    packed = subprocess.run(  # noqa: S603
        ["git", "archive", "--format=tar", commit],  # noqa: S607
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _told(module: str, arguments: Sequence[str], tree: Path) -> dict[str, float]:
    """What a process prints of itself, run in a tree."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-3000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _record(name: str, value: float, unit: str, against: str, detail: dict[str, Any]) -> Record:
    return record(name, value, unit, threads=1, packages=PACKAGES, compared_with=against, detail=detail)


def measure(folder: Path, *, quick: bool) -> list[Record]:
    """All figures of the suite."""
    return [
        *streams_records(folder / "streams", quick=quick),
        *start_records(folder / "start", quick=quick),
        *waiting_records(folder / "waiting", quick=quick),
    ]


def main() -> None:
    """Runs the suite."""
    run_suite("reader", __doc__, lambda quick, folder: measure(folder, quick=quick))


if __name__ == "__main__":
    main()
