"""Stages run and timed on a cluster, by the very functions that a run calls, on as many threads as it will have."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from data.errors import PotstillError
from data.store import Manifest, ShardRecord
from pipeline.planning.plan import Step
from pipeline.running.cluster import Cluster, Place
from pipeline.running.runner import make_job
from pipeline.running.tasks import explain
from pipeline.running.worker import Job, close_shards, load_resources, release, run_shard, run_whole

if TYPE_CHECKING:
    from distributed import Future


@dataclass(frozen=True)
class TimedShard:
    """One shard, and the seconds of the worker that made it."""

    record: ShardRecord
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What a stage took on a sample. `seconds`: all of a whole stage; of a shard stage until its models stood."""

    step: Step
    seconds: float
    manifest: Manifest
    shards: tuple[TimedShard, ...] = ()


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a call returns, and its seconds. Runs on a worker."""
    start = time.monotonic()
    result = function(*arguments)
    return result, time.monotonic() - start


class Trials:
    """Runs steps on a cluster. `threads`: those that each whole stage will have in the run, by node."""

    def __init__(self, cluster: Cluster, threads: Mapping[str, int]) -> None:
        self._cluster, self._threads = cluster, threads

    def most_shards(self, step: Step) -> int | None:
        """Shards that the run has in hand at a time, where its models live in fewer processes than there are."""
        place = self._place(step)
        return place.slots if place.slots < self._cluster.workers else None

    def shard_stage(self, step: Step) -> Trial:
        """Loads on every worker, then makes all shards, as many at a time as there are workers."""
        client, node, place = self._cluster.client, step.node.name, self._place(step)
        job = make_job(step, place.threads)
        processes = self._cluster.processes(place)
        loads = [self._submit(load_resources, job, Place(1, 1, workers=[process])) for process in processes]
        loaded = [_result(node, "", load)[1] for load in loads]
        futures = {name: self._submit(run_shard, job, name, place) for name in sorted(step.shards)}
        shards = tuple(TimedShard(*_result(node, name, future)) for name, future in futures.items())
        _result(node, "", self._submit(close_shards, job, list(futures), max(loaded), self._cluster.anywhere()))
        client.run(release, node)
        return Trial(step, max(loaded), job.output.manifest(), shards)

    def whole_stages(self, steps: Sequence[Step]) -> dict[str, Trial]:
        """Runs them all at the same time; one alone always on the same worker, so that its second call is warm."""
        place = self._cluster.anywhere()
        if len(steps) == 1:
            place = replace(place, workers=self._cluster.processes(place)[:1])
        jobs: dict[str, Job] = {step.node.name: make_job(step, self._threads.get(step.node.name, 1)) for step in steps}
        futures = {name: self._submit(run_whole, job, place) for name, job in jobs.items()}
        for name, future in futures.items():
            _result(name, "", future)
        manifests = {name: job.output.manifest() for name, job in jobs.items()}
        return {
            step.node.name: Trial(step, manifests[step.node.name].seconds, manifests[step.node.name]) for step in steps
        }

    def _place(self, step: Step) -> Place:
        return self._cluster.place(step.node, threads=self._cluster.cores)

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> "Future":
        """Of the arguments the last is the place, and is for the cluster."""
        *own, place = arguments
        where = {"workers": place.workers, "resources": place.resources}
        return self._cluster.client.submit(timed, function, *own, pure=False, **where)


def _result(node: str, shard: str, future: "Future") -> tuple[Any, float]:
    """What came back; raises PotstillError with the cause when it failed."""
    future.exception()
    if failure := explain(node, shard, future):
        raise PotstillError(
            f"on a sample, {failure}; if the sample is too small for this stage, raise --rows, else mend this first"
        )
    answer: tuple[Any, float] = future.result()
    return answer
