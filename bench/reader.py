"""How a training is fed: what many language pairs cost, when a large one begins, what it holds, and how long it waits.

`python -m bench.reader` writes bench/results/reader.json; `--quick` looks at little and writes nothing.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from bench import fixtures
from bench.first_step import config
from bench.fixtures import ROOT, close, new_artifact
from bench.many_rows import SHARD_ROWS, made_up
from bench.records import Record, median, record, run_suite
from bench.trees import BEFORE, told_by, tree_of
from bench.turns import by_turns
from data.artifact import Artifact
from data.runtime import Runtime
from stages.student import stage as student

PACKAGES = ("torch", "pyarrow", "sentencepiece")
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
        return float(metrics.get("timing", metrics)["cpu_seconds"] / metrics["tokens"])

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
            found.setdefault(f"{rows} rows", []).append(told_by("bench.first_step", arguments, ROOT))
            arguments.append(str(rows // SHARD_ROWS // 2))
            found.setdefault(f"{rows} rows, from the middle", []).append(told_by("bench.first_step", arguments, ROOT))
            shutil.rmtree(new_artifact(place, "student").work_path())
        shutil.rmtree(place)
    seconds = {name: median([one["seconds"] for one in each]) for name, each in found.items()}
    memory = {name: median([one["bytes"] for one in each]) for name, each in found.items()}
    whole, resumed = f"{many} rows", f"{many} rows, from the middle"
    processor = {name: median([one["processor_seconds"] for one in each]) for name, each in found.items()}
    told = {"seconds": seconds, "processor_seconds": processor, "bytes": memory}
    detail = {
        **told,
        "steps": steps,
        "pairs": 20,
        "data": "hypotheses and references",
    }
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
    before = tree_of(BEFORE, folder / "before", "bench/idle_share.py")
    arguments = [str(folder), "4", "150" if quick else "2500"]
    found: dict[str, list[float]] = {"before": [], "now": []}
    for _ in range(1 if quick else 3):
        for name, tree in (("before", before), ("now", ROOT)):
            found[name].append(told_by("bench.idle_share", arguments, tree)["share"])
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
