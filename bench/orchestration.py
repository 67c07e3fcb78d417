"""What the cluster, the store and the manifest cost a real decode, and what a second worker is worth.

The real runner over the demo's corpus and teacher. A process that decodes has loaded its libraries before any clock
runs, which a run does once however long it is.
"""

import dataclasses
import json
import shutil
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fixtures import DEMO, ROOT
from bench.records import Record, median, record
from bench.turns import until_steady
from pipeline.planning.plan import Planner, Step
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import STAGES, Graph, StageEntry
from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.running.cluster import Cluster, connect
from pipeline.running.runner import Runner
from pipeline.terminal.progress import PlainDisplay

PACKAGES = ("ctranslate2", "distributed", "pyarrow")
TIMED_STAGES = tuple(
    dataclasses.replace(entry, module="bench.synthetic.timed_decode") if entry.node == "decode" else entry
    for entry in STAGES
)
# The default of `corpus.shard_rows`, and one that gives two workers equally much to do.
DEFAULT_ROWS, EVEN_ROWS = 10_000, 2_000
ROUNDS = 3


@dataclass(frozen=True)
class DecodeTook:
    """Seconds of the whole stage by the clock, and of decode's own code in all workers together."""

    workers: int
    shards: int
    rows: int
    seconds: float
    stage_seconds: float

    def overhead(self) -> float:
        """Share of the workers' time in which decode's own code was not at work."""
        return 1 - self.stage_seconds / (self.seconds * self.workers)


def orchestration_records(folder: Path, *, quick: bool) -> list[Record]:
    """`orchestration_cost` and `workers_2_vs_1`."""
    rounds = 1 if quick else ROUNDS
    cost: list[DecodeTook] = []
    even: list[DecodeTook] = []

    def worked() -> float:
        cost.extend(run_decode(_demo(folder, DEFAULT_ROWS), (1,)))
        return 1 - cost[-1].overhead()

    def gained() -> float:
        even.extend(run_decode(_demo(folder, EVEN_ROWS), (1, 2)))
        return even[-2].seconds / even[-1].seconds

    until_steady("orchestration_cost", worked, rounds)
    gains = until_steady("workers_2_vs_1", gained, rounds)
    detail: dict[str, Any] = {"runs": [dataclasses.asdict(one) for one in cost]}
    even_detail: dict[str, Any] = {"runs": [dataclasses.asdict(one) for one in even]}
    return [
        record(
            "orchestration_cost",
            median([one.overhead() for one in cost]),
            "share",
            threads=1,
            packages=PACKAGES,
            compared_with="the decode stage's time",
            detail=detail,
        ),
        record(
            "workers_2_vs_1",
            median(gains),
            "ratio",
            threads=2,
            packages=PACKAGES,
            compared_with="one worker of one thread",
            detail=even_detail,
        ),
    ]


def run_decode(recipe: Recipe, workers: Sequence[int]) -> list[DecodeTook]:
    """Decodes the recipe's corpus with so many workers, one count after the other; what it left is removed."""
    planner = open_planner(recipe)
    graph = recipe.graph.up_to("decode")
    before = Graph(tuple(node for node in graph.nodes if node.name != "decode"))
    return [_run_decode(planner, graph, before, count) for count in workers]


def _run_decode(planner: Planner, graph: Graph, before: Graph, workers: int) -> DecodeTook:
    with connect(None, workers, (), dashboard=False) as cluster:
        _runner(cluster, planner).run(before, planner.plan(before))
        cluster.client.run(import_libraries)
        steps = planner.plan(graph)
        started = time.monotonic()
        _runner(cluster, planner).run(Graph((graph["decode"],)), steps)
        seconds = time.monotonic() - started
    return _took(next(step for step in planner.plan(graph) if step.node.name == "decode"), workers, seconds)


def _took(step: Step, workers: int, seconds: float) -> DecodeTook:
    if step.artifact is None:
        raise RuntimeError("decode left nothing")
    manifest = step.artifact.manifest()
    shutil.rmtree(step.artifact.url)
    rows = sum(shard.rows for shard in manifest.shards)
    return DecodeTook(workers, len(manifest.shards), rows, seconds, float(manifest.counters["stage_seconds"]))


def import_libraries() -> None:
    """Loads, in a worker, what decode imports when it is first called."""
    import ctranslate2  # noqa: F401
    import sentencepiece  # noqa: F401


def _runner(cluster: Cluster, planner: Planner) -> Runner:
    display = PlainDisplay(lambda line: print(line, file=sys.stderr, flush=True))
    return Runner(cluster, planner, display, retries=0, shards_in_flight=2)


def _demo(folder: Path, shard_rows: int, stages: Sequence[StageEntry] = TIMED_STAGES) -> Recipe:
    """The demo without its monolingual sources, so of 23,000 rows."""
    parallel = tomllib.loads(DEMO.read_text(encoding="utf-8"))["corpus"]["sources"][0]
    source = ", ".join(f"{key} = {json.dumps(value)}" for key, value in parallel.items())
    overrides = [
        f"run.store={folder}",
        f"corpus.sources=[{{{source}}}]",
        f"corpus.shard_rows={shard_rows}",
        f"teacher.path={ROOT / 'recipes' / 'teachers' / 'en-de'}",
    ]
    return read_recipe(DEMO, overrides, stages)
