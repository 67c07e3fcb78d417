"""What was found on the samples, and what it says of the run: a line a stage, and the clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from pipeline.estimating.extrapolate import (
    Contents,
    Trials,
    Whole,
    Works,
    contents,
    known_contents,
    shard_work,
    training_contents,
    training_work,
    whole_work,
)
from pipeline.estimating.record import Interval, StageEstimate
from pipeline.estimating.sample import Sample
from pipeline.estimating.schedule import Machine, Slot, Work, simulate
from pipeline.estimating.training import ShortTraining, in_steps
from pipeline.estimating.trial import Trial
from pipeline.planning.plan import Step
from pipeline.recipe.graph import Graph, Node


@dataclass
class Findings:
    """The real run's steps, its corpus, and the trials of each stage on samples."""

    steps: Mapping[str, Step]
    whole: Whole
    seed: int
    samples: Sequence[Sample] = ()
    trained: dict[str, ShortTraining] = field(default_factory=dict)
    tried: dict[str, Trials] = field(default_factory=dict)
    most: dict[str, int | None] = field(default_factory=dict)

    @property
    def sample_rows(self) -> int:
        """Rows of the large sample's train split; 0 when nothing was tried."""
        return self.samples[-1].rows["train"] if self.samples else 0

    def begin(self, samples: Sequence[Sample]) -> None:
        """Tells which samples the trials are on: small, the same again, large."""
        self.samples = tuple(samples)

    def add(self, node: Node, trials: Sequence[Trial], most: int | None, *, held_out: bool) -> None:
        """A stage's three trials. `held_out`: its time hangs on the rows of the test split, not on those of train."""
        split = "test" if held_out else "train"
        small, _, large = (sample.rows[split] for sample in self.samples)
        cold, warm, last = trials
        # What looks at a sample takes no longer for a larger corpus.
        rows = min(self.whole.rows[split], max(getattr(node.stage(), "MOST_ROWS", self.whole.rows[split]), large))
        self.tried[node.name] = Trials(cold, warm, last, small, large, rows)
        self.most[node.name] = most


class Projection:
    """The run as it will be. `startup`: seconds until the cluster stands."""

    def __init__(self, findings: Findings, graph: Graph, machine: Machine, startup: float) -> None:
        self._findings, self._graph, self._startup = findings, graph, startup
        self._waiting = [name for name, step in findings.steps.items() if step.state != "done"]
        works = {name: self._works(name) for name in self._waiting}
        self._slots: list[dict[str, Slot]] = [
            simulate(graph.nodes, {name: pick(both) for name, both in works.items()}, machine)
            for pick in (_low, _value, _high)
        ]

    def stages(self) -> list[StageEstimate]:
        """In the graph's order."""
        return [self._stage(node.name) for node in self._graph.nodes]

    def clock(self) -> Interval:
        """Wall seconds of a run of what is not done; 0 when all is."""
        if not self._waiting:
            return Interval.exactly(0)
        low, value, high = (self._startup + max(slot.ended for slot in slots.values()) for slots in self._slots)
        return Interval(low=low, value=value, high=high)

    def _stage(self, name: str) -> StageEstimate:
        step = self._findings.steps[name]
        if step.state == "done" and step.artifact is not None:
            manifest = step.artifact.manifest()
            found, seconds, threads = known_contents(manifest), Interval.exactly(manifest.seconds), None
        else:
            found, seconds = self._contents(name), self._seconds(name)
            threads = self._slots[1][name].threads if step.node.kind == "whole" else None
        return StageEstimate(
            stage=name,
            state="done" if step.state == "done" else "estimated",
            rows=found.rows,
            tokens=found.tokens,
            seconds=seconds,
            bytes=found.bytes,
            threads=threads,
            version=step.node.stage().VERSION,
            config=step.node.config.model_dump(mode="json"),
        )

    def _seconds(self, name: str) -> Interval:
        seconds = [slots[name].seconds for slots in self._slots]
        return Interval(low=min(seconds), value=seconds[1], high=max(seconds))

    def _works(self, name: str) -> Works:
        node, findings = self._findings.steps[name].node, self._findings
        if short := findings.trained.get(name):
            valid = (findings.samples[-1].rows["valid"], findings.whole.rows["valid"])
            return training_work(short.times, self._in_steps(name, short), *valid, findings.seed)
        trials = findings.tried[name]
        if node.kind == "shard":
            return shard_work(trials, findings.whole, findings.most[name], findings.seed)
        return whole_work(trials)

    def _contents(self, name: str) -> Contents:
        findings = self._findings
        if short := findings.trained.get(name):
            return training_contents(short.manifest, self._in_steps(name, short))
        return contents(findings.tried[name], findings.samples[-1].shards, findings.whole, findings.seed)

    def _in_steps(self, name: str, short: ShortTraining) -> BaseModel:
        sample, whole = self._findings.samples[-1].rows["train"], self._findings.whole.rows["train"]
        return in_steps(self._findings.steps[name].node.config, short.manifest, whole / max(sample, 1))


def _low(works: Works) -> Work:
    return works.low


def _value(works: Works) -> Work:
    return works.value


def _high(works: Works) -> Work:
    return works.high
