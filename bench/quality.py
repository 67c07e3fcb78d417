"""`make bench-quality`: one student, one start, as many steps, trained in every way that bench/methods.py lists.

It takes hours, so it is made to be stopped: every training that has ended leaves its translations of the test set and
its facts in bench/results/quality.parquet, is not done again, and counts from then on in bench/results/quality.json and
docs/quality.md. Trainings run side by side, one on a core.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import IO

from bench.methods import BY_NAME, Method
from bench.quality_results import TEACHER, TestSet, keep_result, read_references, read_results
from bench.quality_rows import compare
from bench.quality_table import records_of, write_page
from bench.records import save, show
from data.local import atomic
from data.model_folder import CHECKPOINT_FILE
from data.store import Artifact
from pipeline.planning.scope import open_planner, select_graph
from pipeline.recipe.recipe import read_recipe
from stages.teacher.restoring import restore_checkpoint

ROOT = Path(__file__).parents[1]
TEACHER_FOLDER = ROOT / "recipes" / "teachers" / "en-de"
# Where recipes/quality.toml looks for it.
CHECKPOINT = Path("runs/quality-teacher") / CHECKPOINT_FILE
TEACHER_BEAM = 5
_TEACHER_IS_KEPT_ONCE = Lock()


@dataclass(frozen=True)
class Training:
    """A method with a seed."""

    method: Method
    seed: int

    @property
    def recipe(self) -> Path:
        """Which recipe it changes."""
        return ROOT / "recipes" / f"{self.method.recipe}.toml"

    def overrides(self, lane: int) -> list[str]:
        """What it changes in the recipe. Every lane has a store of its own: a run locks it."""
        own = (f"run.name=quality-{lane}", f"student.optimiser.seed={self.seed}")
        return [*self.method.changes, *own]


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is missing, then writes the figures and the page."""
    options = _parser().parse_args(arguments)
    methods = [BY_NAME[name] for name in (options.methods.split(",") if options.methods else BY_NAME)]
    asked = [int(seed) for seed in options.seeds.split(",")] if options.seeds else []
    wanted = sorted((seed, place) for place, each in enumerate(methods) for seed in asked or each.seeds)
    done = {(result.method, result.seed): result.facts.changes for result in read_results()}
    missing = [
        Training(methods[place], seed)
        for seed, place in wanted
        if done.get((methods[place].name, seed)) != methods[place].changes
    ]
    if missing:
        _prepare_teacher()
        train_all(missing, options.lanes)
    comparison = compare(read_results(), read_references())
    records = records_of(comparison)
    show(records)
    save("quality", records)
    write_page(comparison)


def train_all(trainings: Sequence[Training], lanes: int) -> None:
    """Runs them in their order, so many at a time; raises the first failure when all others have ended."""
    cores = sorted(os.sched_getaffinity(0))
    free: SimpleQueue[int] = SimpleQueue()
    for lane in range(lanes):
        free.put(lane)

    def run(training: Training) -> None:
        lane = free.get()
        try:
            # Of this thread, and so of the processes that it starts: a training takes as many threads as it sees cores.
            os.sched_setaffinity(0, {cores[lane % len(cores)]})
            train(training, lane)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(lanes) as pool:
        for future in [pool.submit(run, training) for training in trainings]:
            future.result()


def train(training: Training, lane: int) -> None:
    """One training through `potstill run`, as a user would; leaves its result."""
    log = Path("runs") / f"quality-{lane}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        found = _made(training.recipe, training.overrides(lane), "export", file)
    test = TestSet.of(found["corpus"])
    _keep_teacher(found["teacher"], found["tokenizer"], test)
    exported = found["export"].path()
    lines = test.translate(exported, exported, beam_size=1)
    searched = test.translate(exported, exported, TEACHER_BEAM) if training.method.searches else None
    keep_result(training.method, training.seed, found["student"].manifest(), lines, searched)


def _keep_teacher(teacher: Artifact, tokenizer: Artifact, test: TestSet) -> None:
    """The teacher's own translations and the test set, kept once; raises DataError when another of them was kept."""
    with _TEACHER_IS_KEPT_ONCE:
        kept = next((result for result in read_results() if result.method == TEACHER), None)
        if kept is not None:
            test.check()
        lines = test.translate(teacher.path(), tokenizer.path(), TEACHER_BEAM)
        if kept is not None:
            kept.check(lines)
        else:
            test.save()
            keep_result(Method(TEACHER, ""), 0, teacher.manifest(), lines)


def _made(path: Path, overrides: Sequence[str], until: str, log: IO[str] | None = None) -> dict[str, Artifact]:
    """What `potstill run` makes of a recipe up to a stage, as a user would have it; what it says goes into `log`."""
    settings = [part for each in overrides for part in ("--set", each)]
    command = [sys.executable, "-m", "pipeline.cli", "run", str(path), "--until", until, "--workers", "1", "--plain"]
    subprocess.run([*command, *settings], stdout=log, stderr=log and subprocess.STDOUT, check=True)  # noqa: S603
    recipe = read_recipe(path, overrides)
    graph, _ = select_graph(recipe, until, None)
    return {step.node.name: step.artifact for step in open_planner(recipe).plan(graph) if step.artifact}


def _prepare_teacher() -> None:
    """The demo's teacher with a checkpoint: the weights of the folder that ships, put back."""
    if not CHECKPOINT.is_file():
        with atomic(CHECKPOINT) as temporary:
            restore_checkpoint(TEACHER_FOLDER, temporary)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--methods", default="", help="names in bench/methods.py, with commas; all by default")
    parser.add_argument("--seeds", default="", help="seeds of the student, with commas; by default each method's own")
    parser.add_argument("--lanes", type=int, default=2, help="trainings at a time, one on a core")
    return parser


if __name__ == "__main__":
    main()
