"""Which stages there are, in which order they are read about, and what each of them reads."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel

from data.errors import ConfigError
from pipeline.recipe.faults import did_you_mean


@dataclass(frozen=True)
class StageEntry:
    """One line of the registry: a node of the graph and the module that does its work."""

    node: str
    module: str
    # The recipe's section, where it is not named like the node; dots lead to a table in it.
    section: str = ""
    # The section is this node's own, and not first of all another's.
    own: bool = False
    # The node is there only when the recipe has a section of this name.
    only_with: str = ""
    required: bool = False
    # Keys of a section that are not for this node.
    drops: tuple[str, ...] = ()
    # Keys laid over the section, whatever the recipe says.
    fixed: Mapping[str, Any] = field(default_factory=dict)
    # Keys that are taken from another section, by where they stand there.
    takes: Mapping[str, str] = field(default_factory=dict)
    # Which node stands in for an input of the module.
    instead: Mapping[str, str] = field(default_factory=dict)
    # Nodes that the module gets beyond its inputs, under their own names, where the recipe has them.
    also: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The name of the stage's room: `student` of the node `baseline`."""
        return self.module.removesuffix(".stage").rpartition(".")[2]


# What a student has in place of the teacher's tokenizer, where the recipe has such a section.
OWN_TOKENIZER = ("student_tokenizer",)
# How often a training draws the rows of each source.
WEIGHTS = {"weights": "corpus.sources"}
# In the order in which a sentence pair meets them.
STAGES: tuple[StageEntry, ...] = (
    StageEntry("corpus", "stages.corpus.stage", required=True),
    StageEntry("tokenizer", "stages.tokenizer.stage"),
    StageEntry("teacher", "stages.teacher.stage", required=True, takes=WEIGHTS),
    StageEntry("calibrate", "stages.calibrate.stage", "decode"),
    StageEntry("decode", "stages.decode.stage"),
    StageEntry("select", "stages.select.stage", takes={"columns": "measure.columns"}),
    StageEntry("sides", "stages.sides.stage"),
    StageEntry("scorer", "stages.score.choose", "score"),
    StageEntry("score", "stages.score.stage"),
    StageEntry("measure", "stages.measure.stage"),
    StageEntry("filter", "stages.filter.stage"),
    StageEntry("dataset", "stages.dataset.stage"),
    StageEntry("student_tokenizer", "stages.tokenizer.stage", only_with="student_tokenizer"),
    StageEntry("student", "stages.student.stage", takes=WEIGHTS, also=OWN_TOKENIZER),
    StageEntry(
        "baseline",
        "stages.student.stage",
        "student",
        only_with="baseline",
        drops=("objective", "phases", "start", "earlier", "datasets"),
        fixed={"data": "reference"},
        takes=WEIGHTS,
        also=OWN_TOKENIZER,
    ),
    StageEntry("export", "stages.export.stage", also=OWN_TOKENIZER),
    StageEntry(
        "export_baseline",
        "stages.export.stage",
        "export",
        only_with="baseline",
        instead={"student": "baseline"},
        also=OWN_TOKENIZER,
    ),
    StageEntry("evaluate", "stages.evaluate.stage"),
    StageEntry("report", "stages.report.stage"),
)


@dataclass(frozen=True)
class Node:
    """A stage with its config and its place in the graph."""

    name: str
    module: str
    kind: Literal["shard", "whole"]
    config: BaseModel
    # What the module calls an input -> the node it comes from.
    inputs: Mapping[str, str]

    def stage(self) -> ModuleType:
        """The module that does the work."""
        return importlib.import_module(self.module)

    def resources(self) -> tuple[str, ...]:
        """What a shard stage loads once a process, by the names it has for its inputs."""
        return resources_of(self.stage(), self.config)


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each comes after all it reads."""

    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        names = [node.name for node in self.nodes]
        raise ConfigError([f"{name}: this recipe has no such stage{did_you_mean(name, names)}"])

    def up_to(self, name: str) -> "Graph":
        """The node and all that it needs, directly or through others."""
        needed = {self[name].name}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs.values())
        return Graph(tuple(node for node in self.nodes if node.name in needed))

    def trainings_abreast(self, name: str) -> int:
        """How many trainings may run at the same time as this one, itself counted: none of them waits for another."""
        before = {node.name for node in self.up_to(name).nodes}
        return (
            sum(
                is_training(node)
                and node.name not in before
                and name not in {each.name for each in self.up_to(node.name).nodes}
                for node in self.nodes
            )
            + 1
        )


def build_graph(configs: Mapping[str, BaseModel], stages: Sequence[StageEntry] = STAGES) -> Graph:
    """The graph for these configs, one a node; raises ConfigError when stages wait for one another in a ring."""
    known = {entry.node for entry in stages}
    present = [entry for entry in stages if entry.node in configs]
    nodes = {entry.node: _node(entry, configs, known) for entry in present}
    try:
        TopologicalSorter({name: list(node.inputs.values()) for name, node in nodes.items()}).prepare()
    except CycleError as error:
        ring = " <- ".join(reversed(error.args[1]))
        raise ConfigError([f"{error.args[1][0]}: stages wait for one another: {ring}; change one of them"]) from None
    return Graph(tuple(_in_reading_order(nodes)))


def reads_of(module: ModuleType, config: BaseModel) -> Mapping[str, tuple[str, ...]]:
    """Columns that a shard stage reads of each input; `reads(config)` where they hang on the config."""
    columns: Mapping[str, tuple[str, ...]] = module.reads(config) if hasattr(module, "reads") else module.READS
    return columns


def resources_of(module: ModuleType, config: BaseModel) -> tuple[str, ...]:
    """Inputs of which a shard stage loads what it needs; `resources(config)` likewise."""
    names: tuple[str, ...] = module.resources(config) if hasattr(module, "resources") else module.RESOURCES
    return names


def _is_shard_stage(module: ModuleType) -> bool:
    return hasattr(module, "READS") or hasattr(module, "reads")


def _in_reading_order(nodes: Mapping[str, Node]) -> list[Node]:
    """The registry's order as far as every node still comes after what it reads."""
    waiting, placed = list(nodes), list[str]()
    while waiting:
        name = next(name for name in waiting if set(nodes[name].inputs.values()) <= set(placed))
        waiting.remove(name)
        placed.append(name)
    return [nodes[name] for name in placed]


def _node(entry: StageEntry, configs: Mapping[str, BaseModel], known: set[str]) -> Node:
    module = importlib.import_module(entry.module)
    config = configs[entry.node]
    kind: Literal["shard", "whole"] = "shard" if _is_shard_stage(module) else "whole"
    inputs = {role: entry.instead.get(role, role) for role in [*_roles(module, config), *entry.also]}
    if unknown := set(inputs.values()) - known:
        raise ValueError(f"{entry.module} reads {sorted(unknown)}, and no stage of that name is registered")
    # What a recipe leaves out, such as the baseline, is no input of this run.
    return Node(entry.node, entry.module, kind, config, {r: name for r, name in inputs.items() if name in configs})


def _roles(module: ModuleType, config: BaseModel) -> list[str]:
    """Names of the module's inputs; `inputs(config)` where they hang on the config."""
    if _is_shard_stage(module):
        return list(dict.fromkeys([*reads_of(module, config), *resources_of(module, config)]))
    return list(module.inputs(config) if hasattr(module, "inputs") else module.INPUTS)


def is_training(node: Node) -> bool:
    """Whether the stage trains a model: it has an optimiser, and does not take a model that is there."""
    return hasattr(node.config, "optimiser") and getattr(node.config, "kind", "train") == "train"
