"""Runs a graph on a cluster: whole stages as one task each, shard stages as one task a shard.

This process only watches. All that happens comes through one queue, in the order in which it happened.
"""

import logging
import queue
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import PotstillError
from pipeline.cluster import Cluster
from pipeline.graph import Graph, Node
from pipeline.plan import Planner, Step
from pipeline.progress import Display
from pipeline.tasks import Failure, ShardRun, Submit, WholeRun
from pipeline.worker import TOPIC, Job, release

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)
# Without news for so long, it is time to look whether the cluster still has workers.
QUIET_SECONDS = 30.0


class RunError(PotstillError):
    """Some tasks were given up; what was finished is kept. Holds all of them."""

    def __init__(self, failures: Sequence[Failure], skipped: Sequence[str]) -> None:
        self.failures = list(failures)
        lines = [str(failure) for failure in failures]
        if skipped:
            lines.append(f"not run, because they need what failed: {', '.join(skipped)}")
        super().__init__("\n".join([*lines, "what was finished is kept; mend this and run again"]))


class Runner:
    """One run of a graph. `retries` and `shards_in_flight` are those of the recipe's `[run]`."""

    def __init__(
        self, cluster: Cluster, planner: Planner, display: Display, *, retries: int, shards_in_flight: int
    ) -> None:
        self._cluster = cluster
        self._planner = planner
        self._display = display
        self._retries = retries
        self._shards_in_flight = shards_in_flight
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._steps: dict[str, Step] = {}
        self._active: dict[str, WholeRun | ShardRun] = {}
        self._failures: dict[str, list[Failure]] = {}

    def run(self, graph: Graph, steps: Sequence[Step]) -> None:
        """Runs what is not done in `steps` (at least all inputs of the graph); raises RunError at the end."""
        self._steps = {step.node.name: step for step in steps if step.state == "done"}
        self._cluster.client.subscribe_topic(TOPIC, lambda event: self._events.put(("", event[1])))
        self._start_ready(graph)
        while self._active:
            self._take_event()
            self._start_ready(graph)
        if self._failures:
            ended = self._steps.keys() | self._failures.keys()
            skipped = [node.name for node in graph.nodes if node.name not in ended]
            raise RunError([failure for failures in self._failures.values() for failure in failures], skipped)

    def _take_event(self) -> None:
        try:
            node, content = self._events.get(timeout=QUIET_SECONDS)
        except queue.Empty:
            if not self._cluster.client.nthreads():
                self._display.note("waiting: the cluster has no workers")
            return
        if not node:
            self._show(content)
        elif node in self._active:
            self._active[node].take(content, self._display)
            self._finish_ended()
            self._fill()

    def _show(self, event: Mapping[str, Any]) -> None:
        if isinstance(self._active.get(event["node"]), WholeRun):
            self._display.update(event["node"], event["done"], event["total"], event["extras"])

    def _finish_ended(self) -> None:
        for name, run in list(self._active.items()):
            if run.ended:
                del self._active[name]
                self._finish(run)

    def _finish(self, run: WholeRun | ShardRun) -> None:
        node = run.step.node
        if run.step.shards:
            self._cluster.client.run(release, node.name)
        for failure in run.failures:
            logger.info("%s\n%s", failure, failure.trace)
        if not run.failures:
            step = self._planner.step(node, self._steps)
            if step.state == "done":
                self._steps[node.name] = step
            else:
                run.failures.append(Failure(node.name, "", "its manifest is not there though it ended; run again"))
        if run.failures:
            self._failures[node.name] = run.failures
        self._display.finish(node.name, "failed" if run.failures else "done")

    def _start_ready(self, graph: Graph) -> None:
        """Starts all nodes whose inputs are done; what turns out to be there already is done at once."""
        ready: list[Step] = []
        for node in graph.nodes:
            if node.name not in {*self._steps, *self._active, *self._failures} and self._has_inputs(node):
                step = self._planner.step(node, self._steps)
                if step.state == "done":
                    self._steps[node.name] = step
                else:
                    ready.append(step)
        threads = max(1, self._cluster.cores // max(1, len(self._active) + len(ready)))
        for step in ready:
            self._start(step, threads)
        self._fill()

    def _has_inputs(self, node: Node) -> bool:
        return all(name in self._steps for name in node.inputs.values())

    def _start(self, step: Step, threads: int) -> None:
        name = step.node.name
        self._display.start(name, sum(step.finished.values()), sum(step.shards.values()) or None)
        if step.node.kind == "whole":
            self._active[name] = WholeRun(step, make_job(step, threads), self._submit_for(name, None))
            return
        # On a GPU the models live in one worker, which then has all threads for itself.
        holders = self._cluster.model_workers() if step.node.resources() else None
        job = make_job(step, threads if holders else 1)
        self._active[name] = ShardRun(step, job, self._submit_for(name, holders), self._retries)

    def _fill(self) -> None:
        """Keeps every shard stage supplied; cores lent to whole stages are left alone."""
        lent = sum(run.threads for run in self._active.values())
        window = max(1, self._cluster.workers - lent) if lent else self._cluster.workers * self._shards_in_flight
        for run in self._active.values():
            run.fill(window)
        self._finish_ended()

    def _submit_for(self, node: str, workers: list[str] | None) -> Submit:
        def submit(function: Any, *arguments: Any, priority: int = 0) -> "Future":
            future = self._cluster.client.submit(
                function,
                *arguments,
                # Dask groups tasks on its dashboard by what stands before the number.
                key=f"{node}-{uuid.uuid4().hex}",
                pure=False,
                priority=priority,
                workers=workers,
            )
            future.add_done_callback(lambda ended: self._events.put((node, ended)))
            return future

        return submit


def make_job(step: Step, threads: int) -> Job:
    """What a worker needs to know of a step; ValueError when its inputs are not there yet."""
    if step.identity is None or step.artifact is None:
        raise ValueError(f"{step.node.name} waits for its inputs and cannot be run")
    node = step.node
    return Job(node.module, node.config, step.identity, step.inputs, step.artifact, str(Path.cwd()), threads)
