"""One stage of a recipe by the real runner, in processes of its own, with what it took.

`python -m bench.one_stage RECIPE STAGE` prints a line of JSON. A process that has run nothing before is the only one
whose peak of memory says anything.
"""

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.synthetic.registry import SCALE_STAGES
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Graph, StageEntry
from pipeline.recipe.recipe import read_recipe
from pipeline.running.cluster import connect
from pipeline.running.runner import Runner
from pipeline.terminal.progress import PlainDisplay


@dataclass(frozen=True)
class Took:
    """What a stage took. Peaks are resident bytes, of the one worker and of client and scheduler together."""

    stage: str
    seconds: float
    processor_seconds: float
    worker_peak: int
    client_peak: int
    artifact: str


def run_stage(recipe: Path, stage: str, stages: Sequence[StageEntry] = SCALE_STAGES) -> Took:
    """Runs one stage, whose inputs are there, on one worker; raises RunError, ValueError when it is done already."""
    read = read_recipe(recipe, (), stages)
    planner = open_planner(read)
    node, graph = read.graph[stage], read.graph.up_to(stage)
    steps = planner.plan(graph)
    if steps[-1].state == "done":
        raise ValueError(f"{stage} is done already; nothing to measure")
    with connect(None, 1, (), dashboard=False) as cluster:
        display = PlainDisplay(lambda line: print(line, file=sys.stderr, flush=True))
        started, before = time.monotonic(), sum(cluster.client.run(time.process_time).values())
        Runner(cluster, planner, display, retries=0, shards_in_flight=2).run(Graph((node,)), steps)
        seconds = time.monotonic() - started
        processor_seconds = sum(cluster.client.run(time.process_time).values()) - before
        peaks = cluster.client.run(peak_memory)
    artifact = planner.plan(graph)[-1].artifact
    return Took(stage, seconds, processor_seconds, max(peaks.values()), peak_memory(), artifact.url if artifact else "")


def peak_memory() -> int:
    """The largest resident size that this process had, in bytes; Linux."""
    # Not getrusage: its peak is handed down from the process that started this one.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    print(json.dumps(asdict(run_stage(Path(sys.argv[1]), sys.argv[2]))))
