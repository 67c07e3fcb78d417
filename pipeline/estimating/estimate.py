"""One call of `potstill estimate`: the cheap beginnings for real, all else on samples, and what follows from that."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from data.errors import ConfigError
from pipeline.estimating.extrapolate import Whole
from pipeline.estimating.project import Findings, Projection
from pipeline.estimating.record import Estimate, save
from pipeline.estimating.rehearsal import Rehearsal, Sampling
from pipeline.estimating.sample import count_rows
from pipeline.estimating.schedule import Machine
from pipeline.planning.plan import Planner, Step
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Graph, is_training
from pipeline.recipe.recipe import Recipe
from pipeline.running.cluster import Cluster
from pipeline.running.launch import ClusterOptions, libraries_of, locked, run_recipe
from pipeline.terminal.progress import Display


@dataclass(frozen=True)
class Price:
    """What an hour of the machine costs."""

    per_hour: float | None = None
    currency: str = ""


def estimate_recipe(
    recipe: Recipe, open_display: Callable[[], Display], options: ClusterOptions, sampling: Sampling, price: Price
) -> Estimate:
    """Estimates what is not done yet, keeps the result in the run's folder and returns it.

    Raises ConfigError when a teacher is still to be trained, PotstillError when a stage fails on the sample.
    """
    beginnings = first_stages(recipe.graph)
    planner = open_planner(recipe)
    _check_trained(recipe, planner, beginnings)
    for name in reversed(beginnings):
        run_recipe(recipe, open_display, options, until=name)
    steps = {step.node.name: step for step in planner.plan(recipe.graph)}
    start = time.monotonic()
    findings = Findings(steps, _whole(steps[beginnings[0]]), sampling.seed)
    place = _Place(Machine(1, 1), "cpu", 0.0)
    if any(step.state != "done" for step in steps.values()):
        with locked(recipe), contextlib.closing(open_display()) as display, _connected(recipe, options) as cluster:
            startup = time.monotonic() - start
            place = _Place(Machine(cluster.workers, cluster.cores), cluster.device, startup)
            Rehearsal(recipe.graph, planner.store, cluster, display, sampling, findings, beginnings).run()
    estimate = _conclude(recipe, findings, place, beginnings, price, time.monotonic() - start)
    save(planner.store, estimate)
    return estimate


@dataclass(frozen=True)
class _Place:
    """Where it was tried, and the seconds until it stood."""

    machine: Machine
    device: str
    startup: float


def _conclude(
    recipe: Recipe, findings: Findings, place: _Place, beginnings: Sequence[str], price: Price, took: float
) -> Estimate:
    projection = Projection(findings, recipe.graph, place.machine, place.startup)
    made = {name: findings.steps[name].artifact for name in beginnings}
    return Estimate(
        recipe=recipe.run.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        workers=place.machine.workers,
        cores=place.machine.cores,
        device=place.device,
        seed=findings.seed,
        sample_rows=findings.sample_rows,
        rows=findings.whole.rows["train"],
        beginnings={name: artifact.fingerprint for name, artifact in made.items() if artifact},
        stages=projection.stages(),
        clock=projection.clock(),
        took_seconds=took,
        price_per_hour=price.per_hour,
        currency=price.currency,
    )


def first_stages(graph: Graph) -> list[str]:
    """The whole stages that shard stages need, in order: cheap, and never lost. The corpus is the first.

    With them, other nodes of the same stages that read nothing else: a sample makes another tokenizer for the student,
    or none, where it has too few words.
    """
    shards = [node.name for node in graph.nodes if node.kind == "shard"]
    needed = {node.name for name in shards for node in graph.up_to(name).nodes if node.kind == "whole"}
    behind = {name for name in needed if any(node.kind == "shard" for node in graph.up_to(name).nodes)}
    modules = {graph[name].module for name in needed - behind}
    also = {
        node.name for node in graph.nodes if node.module in modules and set(node.inputs.values()) <= needed - behind
    }
    first = [node.name for node in graph.nodes if node.name in (needed - behind) | also]
    if not first:
        raise ConfigError(["estimate: the recipe has no stage that works shard by shard, so there is nothing to try"])
    return first


def _check_trained(recipe: Recipe, planner: Planner, beginnings: Sequence[str]) -> None:
    done = {step.node.name for step in planner.plan(recipe.graph) if step.state == "done"}
    for name in beginnings:
        if is_training(recipe.graph[name]) and name not in done:
            raise ConfigError(
                [
                    f"{name}: it is to be trained here, and all that comes after it hangs on how it then translates; "
                    f"expected it to be there; run `potstill run {recipe.path} --until {name}` first"
                ]
            )


def _whole(corpus: Step) -> Whole:
    if corpus.artifact is None:
        raise ValueError(f"{corpus.node.name} is not done")
    shards = [shard.rows for shard in corpus.artifact.manifest().shards if shard.name.startswith("train-")]
    return Whole(shards, count_rows(corpus.artifact))


@contextlib.contextmanager
def _connected(recipe: Recipe, options: ClusterOptions) -> Iterator[Cluster]:
    # Imported here: Dask takes its time.
    from pipeline.running.cluster import connect

    with connect(options.scheduler, options.workers, libraries_of(recipe.graph), dashboard=False) as cluster:
        yield cluster
