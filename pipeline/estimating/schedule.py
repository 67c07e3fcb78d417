"""When each stage of a run begins and ends, and on how many threads: the runner's rules, played through in no time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from pipeline.recipe.graph import Graph, Node, is_training

_NOTHING = 1e-9


@dataclass(frozen=True)
class Machine:
    """Worker threads of the cluster, and cores of one machine of it, as the runner counts them."""

    workers: int
    cores: int


@dataclass(frozen=True)
class Work:
    """What a stage takes: its own seconds (a shard stage: until its model is loaded), and those of each shard."""

    seconds: float
    shards: Sequence[float] = ()
    # How many of its shards can be in hand at a time, where fewer than there are workers.
    most: int | None = None


@dataclass
class Slot:
    """A stage's place in time, in seconds from the run's beginning."""

    threads: int
    started: float
    ended: float = 0.0
    # Seconds of a worker that are still to be worked off.
    left: float = field(default=0.0, repr=False)

    @property
    def seconds(self) -> float:
        """From its beginning to its end."""
        return self.ended - self.started


def simulate(nodes: Sequence[Node], work: Mapping[str, Work], machine: Machine) -> dict[str, Slot]:
    """A slot for each of the nodes in `work`; all other nodes are done. As Runner starts, lends and fills."""
    return _Play(nodes, work, machine).run()


class _Play:
    def __init__(self, nodes: Sequence[Node], work: Mapping[str, Work], machine: Machine) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._work, self._machine = work, machine
        self._slots: dict[str, Slot] = {}
        self._active: list[str] = []
        self._done = {name for name in self._nodes if name not in work}

    def run(self) -> dict[str, Slot]:
        now = 0.0
        self._start(now)
        while self._active:
            rates = {name: self._rate(name) for name in self._active}
            step = min(self._slots[name].left / rates[name] for name in self._active)
            now += step
            for name in list(self._active):
                slot = self._slots[name]
                slot.left -= step * rates[name]
                if slot.left <= _NOTHING:
                    slot.ended = now
                    self._active.remove(name)
                    self._done.add(name)
            self._start(now)
        return self._slots

    def _start(self, now: float) -> None:
        ready = [
            name
            for name, node in self._nodes.items()
            if name not in self._done and name not in self._slots and set(node.inputs.values()) <= self._done
        ]
        threads = max(1, self._machine.cores // max(1, len(self._active) + len(ready)))
        for name in ready:
            self._slots[name] = Slot(self._training_threads(name) or threads, now)
        self._active += ready
        for name in ready:
            self._slots[name].left = self._amount(name)

    def _training_threads(self, name: str) -> int:
        """Of a training; 0 for what is none."""
        node, graph = self._nodes[name], Graph(tuple(self._nodes.values()))
        return max(1, self._machine.cores // graph.trainings_abreast(name)) if is_training(node) else 0

    def _amount(self, name: str) -> float:
        work, rate = self._work[name], self._rate(name)
        if self._nodes[name].kind == "whole" or not work.shards:
            return work.seconds
        # Every worker loads, and the last round of shards may leave some without one.
        rounds = ceil(len(work.shards) / rate) * rate / len(work.shards)
        return work.seconds * rate + sum(work.shards) * rounds

    def _rate(self, name: str) -> int:
        """Seconds of a worker that pass in a second: one for a whole stage, else the shards in hand at a time."""
        if self._nodes[name].kind == "whole":
            return 1
        whole = [self._slots[other].threads for other in self._active if self._nodes[other].kind == "whole"]
        free = max(1, self._machine.workers - sum(whole))
        return min(free, self._work[name].most or free)
