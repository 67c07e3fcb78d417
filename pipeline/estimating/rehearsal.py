"""The rehearsal of a run: all its stages on samples of the corpus, in its order and on as many threads."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import fsspec

from data.local import storage_faults
from data.store import Store
from data.teachers import FIRST
from pipeline.estimating import stand_in
from pipeline.estimating.project import Findings
from pipeline.estimating.sample import Sample, draw, repeat, write_sample
from pipeline.estimating.schedule import Machine, Slot, Work, simulate
from pipeline.estimating.training import ShortTraining, read_times, rows_in_hand, short_training
from pipeline.estimating.trial import Trial, Trials
from pipeline.planning.plan import SPLIT, Step
from pipeline.recipe.graph import Graph, Node, is_training
from pipeline.running.cluster import Cluster
from pipeline.terminal.progress import Display

# The small sample is so much smaller: far enough apart for a line, and quick.
_APART = 8
_HELD_OUT = 240
_FOLDER = ".estimate"
# In a shard of fewer rows batches are not filled.
_LEAST_ROWS_OF_A_SHARD = 250
# A training's share of a machine hangs on who else is at work, and not on how long exactly.
_LONG, _SHORT = 3600.0, 10.0
# Inputs of the evaluation in whose place it gets the teacher.
_STOOD_IN = ("export", "export_baseline")
_EVALUATION = "stages.evaluate.stage"
# Whole stages whose shards are the corpus's.
_BY_ROWS = ("stages.given.join",)
_NO_MODEL = "stages.given.stage"


@dataclass(frozen=True)
class Sampling:
    """How much is tried. `rows` of the train split go through all stages once, an eighth of them twice more."""

    rows: int = 2000
    seed: int = 1


class Rehearsal:
    """The trial runs of one recipe; what comes of them goes into `findings`."""

    def __init__(
        self,
        graph: Graph,
        store: Store,
        cluster: Cluster,
        display: Display,
        sampling: Sampling,
        findings: Findings,
        beginnings: Sequence[str],
    ) -> None:
        self._graph, self._store, self._display, self._findings = graph, store, display, findings
        # What belongs to rows of the real corpus is made anew for those of a sample.
        self._given = {name: findings.steps[name] for name in beginnings if graph[name].module not in _BY_ROWS}
        self._corpus = findings.steps[beginnings[0]]
        self._sampling, self._workers = sampling, cluster.workers
        self._trainings = [node for node in self._nodes() if is_training(node)]
        behind = {node.name for node in self._nodes() if self._is_behind_training(node)}
        self._before = [node for node in self._nodes() if node.name not in behind and node not in self._trainings]
        is_given = any(node.name == FIRST and node.module == _NO_MODEL for node in graph.nodes)
        after = _with_stand_in(self._nodes(), is_given=is_given)
        self._after = [node for node in after if node.name in behind | {"stand_in"}]
        threads = {name: slot.threads for name, slot in self._nominal(Machine(cluster.workers, cluster.cores)).items()}
        self._trials = Trials(cluster, {"stand_in": 1, **threads})

    def run(self) -> None:
        """All trials; leaves no sample behind."""
        with self._scratch() as url:
            small = {split: max(rows // _APART, 1) for split, rows in self._wanted().items()}
            samples = [
                self._sample(f"{url}/{number}", wanted) for number, wanted in enumerate((small, small, self._wanted()))
            ]
            done = [self._given | {self._corpus.node.name: sample.corpus} for sample in samples]
            self._findings.begin(samples)
            self._thrice(self._before, samples, done)
            if self._trainings:
                self._train(samples[-1], done, self._store_at(f"{url}/repeated"))
            self._thrice(self._after, samples, done)

    def _thrice(self, nodes: Sequence[Node], samples: Sequence[Sample], done: Sequence[dict[str, Step]]) -> None:
        # Size by size, and not stage by stage: as in a run, a process that has imported a library keeps it.
        found: dict[str, list[Trial]] = {node.name: [] for node in nodes}
        for sample, steps in zip(samples, done, strict=True):
            for node in nodes:
                self._display.note(f"{node.name}: trying it on {sample.rows['train']:,} rows")
                trial = self._try(self._shrunk(node, sample), sample, steps)
                found[node.name].append(trial)
        for node in nodes:
            if node.name in self._findings.steps:
                most = self._trials.most_shards(found[node.name][-1].step) if node.kind == "shard" else None
                self._findings.add(node, found[node.name], most, held_out=node in self._after)

    def _try(self, node: Node, sample: Sample, steps: dict[str, Step]) -> Trial:
        step = sample.planner.step(node, steps)
        trial = self._trials.shard_stage(step) if node.kind == "shard" else self._trials.whole_stages([step])[node.name]
        steps[node.name] = sample.planner.step(node, steps)
        return trial

    def _train(self, sample: Sample, done: Sequence[dict[str, Step]], store: Store) -> None:
        self._display.note(f"{', '.join(node.name for node in self._trainings)}: training for a few steps")
        nodes = [replace(node, config=short_training(node.config)) for node in self._trainings]
        given = self._repeated(sample, done[-1], store)
        trials = self._trials.whole_stages([sample.planner.step(node, given) for node in nodes])
        for node in nodes:
            trained = sample.planner.step(node, given)
            for steps in done:
                steps[node.name] = trained
            trial = trials[node.name]
            self._findings.trained[node.name] = ShortTraining(trial.manifest, read_times(trial))

    def _repeated(self, sample: Sample, steps: dict[str, Step], store: Store) -> dict[str, Step]:
        """The steps, with as many rows to train on as a training has in hand at a time: few rows, padded batches."""
        in_hand = max(rows_in_hand(node) for node in self._trainings)
        times = ceil(min(in_hand, self._findings.whole.rows["train"]) / sample.rows["train"])
        read = {name for node in self._trainings for name in node.inputs.values()}
        return steps | {name: repeat(store, steps[name], times) for name in sorted(read) if _has_rows(steps[name])}

    def _sample(self, url: str, wanted: dict[str, int]) -> Sample:
        tables = draw(self._corpus, wanted, self._sampling.seed)
        rows = tables["train"].num_rows
        pieces = max(min(2 * self._workers, rows // _LEAST_ROWS_OF_A_SHARD), min(4, rows))
        return write_sample(self._store_at(url), self._corpus, tables, pieces)

    def _store_at(self, url: str) -> Store:
        return Store(url, self._store.storage_options, self._store.cache_folder)

    def _wanted(self) -> dict[str, int]:
        known = self._findings.whole.rows
        most = {"train": self._sampling.rows, "valid": _HELD_OUT, "test": _HELD_OUT}
        return {split: min(count, known[split]) for split, count in most.items()}

    def _shrunk(self, node: Node, sample: Sample) -> Node:
        """A stage that times, or forces, so many sentences of a test set takes the sample's share of them."""
        config, rows = node.config, self._findings.whole.rows["test"]
        if node.module != _EVALUATION or not rows:
            return node

        def few(sentences: int) -> int:
            return max(1, min(sentences, rows) * sample.rows["test"] // rows)

        options = config.model_dump()
        options["timed_sentences"] = few(options["timed_sentences"])
        options["forced"]["sentences"] = few(options["forced"]["sentences"])
        return replace(node, config=type(config).model_validate(options))

    def _nodes(self) -> list[Node]:
        return [node for node in self._graph.nodes if node.name not in self._given]

    def _is_behind_training(self, node: Node) -> bool:
        needed = {other.name for other in self._graph.up_to(node.name).nodes} - {node.name, *self._given}
        return any(is_training(self._graph[name]) for name in needed)

    def _nominal(self, machine: Machine) -> Mapping[str, Slot]:
        """Who shares the machine with whom, before any time is known: trainings are long, all else is short."""
        work = {
            node.name: Work(_LONG if node in self._trainings else _SHORT)
            for node in self._nodes()
            if self._findings.steps[node.name].state != "done"
        }
        return simulate(self._graph.nodes, work, machine)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[str]:
        url = f"{self._store.url}/{_FOLDER}"
        files, path = fsspec.core.url_to_fs(url, **(self._store.storage_options or {}))

        def clear() -> None:
            with storage_faults(url):
                if files.exists(path):
                    files.rm(path, recursive=True)

        clear()
        try:
            yield url
        finally:
            clear()


def _has_rows(step: Step) -> bool:
    return step.artifact is not None and bool(step.artifact.shard_names(SPLIT))


def _with_stand_in(nodes: Sequence[Node], *, is_given: bool) -> list[Node]:
    """What evaluates an exported student gets the teacher in its place, where that is a model."""
    if not any(node.module == _EVALUATION for node in nodes) or is_given:
        return list(nodes)
    inputs = {role: role for role in stand_in.INPUTS}
    placed = Node("stand_in", stand_in.__name__, "whole", stand_in.Config(), inputs)
    return [placed, *(_stood_in(node) if node.module == _EVALUATION else node for node in nodes)]


def _stood_in(node: Node) -> Node:
    inputs = {role: "stand_in" if role in _STOOD_IN else name for role, name in node.inputs.items()}
    return replace(node, inputs=inputs)
