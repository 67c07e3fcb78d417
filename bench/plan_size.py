"""A plan with very many shards: whether scheduler and client stay small and quick when nothing else costs.

`python -m bench.plan_size FOLDER SHARDS` prints a line of JSON; in a process of its own, for the sake of its peak of
memory.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.one_stage import peak_memory
from bench.records import Record, record
from bench.synthetic.registry import PLAN_STAGES
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Graph
from pipeline.recipe.recipe import read_recipe
from pipeline.running.cluster import Cluster, connect
from pipeline.running.runner import Runner
from pipeline.terminal.progress import PlainDisplay

WORKERS = 2
SHARDS_IN_FLIGHT = 2
PACKAGES = ("distributed", "pyarrow")
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class PlanTook:
    """What a stage of so many shards took; `client_peak` is the memory of client and scheduler together, in bytes."""

    shards: int
    plan_seconds: float
    seconds: float
    plan_again_seconds: float
    client_peak: int
    worker_peak: int
    most_tasks: int


def plan_records(folder: Path, shards: int) -> list[Record]:
    """Time a shard, memory and tasks in flight; names say 100k whatever the size, the detail says the size."""
    command = [sys.executable, "-m", "bench.plan_size", str(folder), str(shards)]
    took = PlanTook(**json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))  # noqa: S603
    detail: dict[str, Any] = asdict(took) | {"workers": WORKERS, "shards_in_flight": SHARDS_IN_FLIGHT}
    figures = {
        "plan_100k_seconds_per_shard": (took.seconds / took.shards, "s"),
        "plan_100k_memory_mib": (took.client_peak / 2**20, "MiB"),
        "plan_100k_tasks_in_flight": (float(took.most_tasks), "tasks"),
    }
    return [
        record(name, value, unit, threads=WORKERS, packages=PACKAGES, detail=detail)
        for name, (value, unit) in figures.items()
    ]


def run_plan(folder: Path, shards: int) -> PlanTook:
    """Makes the shards, and runs a stage that does nothing over all of them, by the real runner on a real cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "plan.toml"
    recipe.write_text(f'[run]\nname = "plan"\nstore = "{folder}"\n[corpus]\nshards = {shards}\n')
    read = read_recipe(recipe, (), PLAN_STAGES)
    planner = open_planner(read)
    with connect(None, WORKERS, (), dashboard=False) as cluster:
        runner = _runner(cluster, planner)
        runner.run(Graph((read.graph["corpus"],)), planner.plan(read.graph))
        started = time.monotonic()
        steps = planner.plan(read.graph)
        planned = time.monotonic()
        with _most_tasks(cluster) as most:
            _runner(cluster, planner).run(Graph((read.graph["trivial"],)), steps)
        ended = time.monotonic()
        if not all(step.state == "done" for step in planner.plan(read.graph)):
            raise RuntimeError("the plan is not done; expected all shards and a manifest")
        again = time.monotonic() - ended
        peaks = cluster.client.run(peak_memory)
    return PlanTook(shards, planned - started, ended - planned, again, peak_memory(), max(peaks.values()), most[0])


def _runner(cluster: Cluster, planner: Any) -> Runner:
    display = PlainDisplay(lambda line: print(line, file=sys.stderr, flush=True))
    return Runner(cluster, planner, display, retries=0, shards_in_flight=SHARDS_IN_FLIGHT)


@contextmanager
def _most_tasks(cluster: Cluster) -> Iterator[list[int]]:
    """The most tasks that the scheduler, which lives in this process, was seen to know of at once."""
    most, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            most[0] = max(most[0], len(cluster.client.cluster.scheduler.tasks))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


if __name__ == "__main__":
    print(json.dumps(asdict(run_plan(Path(sys.argv[1]), int(sys.argv[2])))))
