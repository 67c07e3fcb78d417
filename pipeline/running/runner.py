"""Runs graphs on a cluster: whole stages as one task each, shard stages as one task a shard.

This process only watches. All that happens comes through one queue, in the order in which it happened.
"""

import logging
import queue
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import PotstillError
from pipeline.planning.plan import Planner, Step
from pipeline.recipe.graph import Graph, is_training
from pipeline.running.cluster import Cluster, Place
from pipeline.running.lane import Lane, Validation
from pipeline.running.tasks import Failure, ShardRun, Submit, WholeRun
from pipeline.running.worker import TOPIC, Job, name_of, release, stop
from pipeline.terminal.progress import Display, LabelledDisplay

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)
# Between looks at whether workers are there that may take what waits; at the second that finds none it is told.
WATCH_SECONDS = 15.0


class RunError(PotstillError):
    """Some tasks were given up; what was finished is kept. Holds all of them."""

    def __init__(self, failures: Sequence[Failure], skipped: Sequence[str]) -> None:
        self.failures = list(failures)
        lines = [str(failure) for failure in failures]
        if skipped:
            lines.append(f"not run, because they need what failed: {', '.join(skipped)}")
        super().__init__("\n".join([*lines, "what was finished is kept; mend this and run again"]))


class Runner:
    """Runs graphs. `retries`, `retry_pause` and `shards_in_flight` are those of the recipe's `[run]`.

    `abreast` is how many graphs are to share the cores: a whole stage takes no more than its part of them. `recipe` is
    the whole graph where a part of it is run: the threads of a training, which change its weights in the last digits,
    hang on that alone, and not on what else there is to do just then.
    """

    def __init__(
        self,
        cluster: Cluster,
        planner: Planner,
        display: Display,
        *,
        retries: int,
        retry_pause: float = 1.0,
        shards_in_flight: int,
        abreast: int = 1,
        recipe: Graph | None = None,
    ) -> None:
        self._cluster = cluster
        self._planner = planner
        self._display = display
        self._retries, self._retry_pause = retries, retry_pause
        self._shards_in_flight = shards_in_flight
        self._abreast, self._recipe = abreast, recipe
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._lanes: list[Lane] = []
        # By the artefact's name: what two lanes need is made once.
        self._active: dict[str, WholeRun | ShardRun] = {}
        self._displays: dict[str, Display] = {}
        self._places: dict[str, Place] = {}
        self._watched = time.monotonic()
        # What was found to be missing at the last look.
        self._lacking: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether anything is under way, for a lane or for none any more."""
        return bool(self._active)

    def run(self, graph: Graph, steps: Sequence[Step]) -> None:
        """Runs what is not done in `steps` (at least all inputs of the graph); raises RunError at the end."""
        lane = Lane(graph, {step.node.name: step for step in steps if step.state == "done"})
        self.begin(lane)
        while not lane.ended:
            self.turn()
        if lane.failures:
            raise RunError([failure for failures in lane.failures.values() for failure in failures], lane.skipped())

    def begin(self, lane: Lane) -> None:
        """Starts what can be started of a graph; `turn` goes on with it until it has ended."""
        self._cluster.client.subscribe_topic(TOPIC, lambda event: self._events.put(("", event[1])))
        self._lanes.append(lane)
        self._start_ready()

    def turn(self) -> None:
        """Waits until something happens, for some seconds at most, and starts what can then be started."""
        self._take_event()
        self._start_ready()

    def drop(self, lane: Lane) -> None:
        """Goes no further with a graph; whole stages that no other waits for are asked to stop, and do so soon."""
        self._lanes.remove(lane)
        wanted = {name for other in self._lanes for name in other.in_hand.values()}
        for name in set(lane.in_hand.values()) - wanted:
            if isinstance(self._active.get(name), WholeRun):
                self._cluster.client.run(stop, name, on_error="ignore")
        lane.in_hand.clear()

    def _take_event(self) -> None:
        event = None
        with suppress(queue.Empty):
            event = self._events.get(timeout=min([WATCH_SECONDS, *self._pauses()]))
        self._watch()
        if event is None:
            self._fill()
            return
        name, content = event
        if not name:
            self._hear(content)
        elif name in self._active:
            self._active[name].take(content, self._displays[name])
            self._finish_ended()
            self._fill()

    def _pauses(self) -> Iterator[float]:
        """Seconds until a shard may be tried again."""
        for run in self._active.values():
            if (pause := run.pause()) is not None:
                yield pause

    def _watch(self) -> None:
        """Tells of what waits for workers that are not there, and starts processes anew that did not come back."""
        now = time.monotonic()
        if now - self._watched < WATCH_SECONDS:
            return
        self._watched = now
        lacking = set(self._lacks())
        for told in sorted(lacking & self._lacking):
            self._display.note(told)
        if lacking & self._lacking:
            self._cluster.restore()
        self._lacking = lacking

    def _lacks(self) -> Iterator[str]:
        offers, resting = self._cluster.offers(), self._cluster.resting()
        if not offers and not resting:
            yield "waiting: the cluster has no workers"
            return
        rest = f"; {resting} take nothing while they have most of the memory: try fewer --workers" if resting else ""
        for name, place in self._places.items():
            wanted = frozenset(place.resources or ())
            if name in self._active and not any(wanted <= has for has in offers):
                node = self._active[name].step.node.name
                needs = f"; it needs one with the resource {' and '.join(sorted(wanted))}" if wanted else ""
                yield f"waiting: no worker is there that may take {node}{needs}{rest}"
        if missing := self._cluster.missing():
            yield f"waiting for {missing} of this machine's worker processes, which died and are started anew"

    def _hear(self, event: Mapping[str, Any]) -> None:
        name = event["artefact"]
        run = self._active.get(name)
        if not isinstance(run, WholeRun):
            return
        node = run.step.node.name
        if "figures" not in event:
            self._displays[name].update(node, event["done"], event["total"], event["extras"])
            return
        for lane in self._waiting_for(name):
            lane.validations.append(Validation(node, event["step"], event["figures"]))

    def _waiting_for(self, name: str) -> list[Lane]:
        return [lane for lane in self._lanes if name in lane.in_hand.values()]

    def _finish_ended(self) -> None:
        for name, run in list(self._active.items()):
            if run.ended:
                del self._active[name], self._places[name]
                self._finish(name, run)

    def _finish(self, name: str, run: WholeRun | ShardRun) -> None:
        if run.step.shards:
            # Best effort: a worker that cannot be reached just now must not end the run.
            self._cluster.client.run(release, run.step.node.name, on_error="ignore")
        for failure in run.failures:
            logger.info("%s\n%s", failure, failure.trace)
        for lane in self._waiting_for(name):
            lane.take(run, self._planner)
        state = "stopped" if run.stopped else "failed" if run.failures else "done"
        display = self._displays.pop(name)
        display.finish(run.step.node.name, state)
        if state == "done" and run.step.artifact is not None:
            for warning in run.step.artifact.manifest().metrics.get("warnings", ()):
                display.note(f"WARNING {run.step.node.name}: {warning}")

    def _start_ready(self) -> None:
        """Starts all nodes whose inputs are done."""
        ready: dict[str, tuple[Step, Lane]] = {}
        for lane in self._lanes:
            for step in lane.ready(self._planner):
                name = _name(step)
                lane.in_hand[step.node.name] = name
                if name not in self._active:
                    ready.setdefault(name, (step, lane))
        threads = max(1, self._cluster.cores // max(self._abreast, len(self._active) + len(ready), 1))
        for name, (step, lane) in ready.items():
            own = self._training_threads(step, lane) if is_training(step.node) else threads
            self._start(name, step, own, lane.label)
        self._fill()

    def _training_threads(self, step: Step, lane: Lane) -> int:
        beside = (self._recipe or lane.graph).trainings_abreast(step.node.name)
        return max(1, self._cluster.cores // max(self._abreast, beside))

    def _start(self, name: str, step: Step, threads: int, label: str) -> None:
        display = self._displays[name] = LabelledDisplay(self._display, label) if label else self._display
        if step.artifact is not None:
            step.artifact.reopen()
        display.start(step.node.name, sum(step.finished.values()), sum(step.shards.values()) or None)
        whole = step.node.kind == "whole"
        place = self._cluster.anywhere() if whole else self._cluster.place(step.node, threads=threads)
        self._places[name] = place
        if whole:
            self._active[name] = WholeRun(step, make_job(step, threads), self._submit_for(step, name, place))
            return
        job = make_job(step, place.threads)
        submit = self._submit_for(step, name, place)
        self._active[name] = ShardRun(step, job, submit, self._retries, place.slots, first_pause=self._retry_pause)

    def _fill(self) -> None:
        """Keeps every shard stage supplied; cores lent to whole stages are left alone."""
        lent = sum(run.threads for run in self._active.values())
        for run in self._active.values():
            run.fill(max(1, run.slots - lent) if lent else run.slots * self._shards_in_flight)
        self._finish_ended()

    def _submit_for(self, step: Step, name: str, place: Place) -> Submit:
        def submit(function: Any, *arguments: Any, priority: int = 0) -> "Future":
            future = self._cluster.client.submit(
                function,
                *arguments,
                # Dask groups tasks on its dashboard by what stands before the number.
                key=f"{step.node.name}-{uuid.uuid4().hex}",
                pure=False,
                priority=priority,
                workers=place.workers,
                # An address is a wish: a worker that is started anew after it died has another one.
                allow_other_workers=place.workers is not None,
                resources=place.resources,
            )
            future.add_done_callback(lambda ended: self._events.put((name, ended)))
            return future

        return submit


def _name(step: Step) -> str:
    if step.artifact is None:
        raise ValueError(f"{step.node.name} waits for its inputs and cannot be run")
    return name_of(step.artifact)


def make_job(step: Step, threads: int) -> Job:
    """What a worker needs to know of a step; ValueError when its inputs are not there yet."""
    if step.identity is None or step.artifact is None:
        raise ValueError(f"{step.node.name} waits for its inputs and cannot be run")
    node = step.node
    folder = str(Path.cwd())
    return Job(node.module, node.config, step.identity, step.inputs, step.artifact, folder, threads, step.outside)
