"""Recipes that a sweep tries: one recipe read with other settings, checked at the ends of all that is varied."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import ConfigError
from data.fingerprint import DigestCache, bytes_digest, library_versions
from pipeline.planning.plan import external_digests, open_digest_cache
from pipeline.recipe.graph import Graph, Node, StageEntry
from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.recipe.tune_config import Settings, TuneConfig
from pipeline.tuning.space import ends, override_texts

# A second student beside the one that is tuned: a comparison that no trial needs.
_BASELINE = "baseline"

Candidates = Sequence[tuple[str, Graph]]


@dataclass(frozen=True)
class Source:
    """A recipe as the command line gives it."""

    path: Path
    overrides: tuple[str, ...]
    stages: Sequence[StageEntry]

    def read(self, settings: Settings | None = None) -> Recipe:
        """The recipe with these settings laid over it; raises ConfigError with all its faults."""
        return read_recipe(self.path, (*self.overrides, *override_texts(settings or {})), self.stages)

    def graph(self, tune: TuneConfig, settings: Settings | None = None) -> Graph:
        """What a trial with these settings runs; raises ConfigError."""
        graph = self.read(settings).graph
        keys = {key for name, dimension in tune.space.items() for key in dimension.keys(name)}
        if not any(key.startswith(f"{_BASELINE}.") for key in keys):
            graph = _without(graph, {entry.node for entry in self.stages if entry.only_with == _BASELINE})
        return graph.up_to(tune.until)

    def command(self, settings: Settings) -> list[str]:
        """The words of the command that runs a trial's recipe by itself."""
        kept = [text for text in self.overrides if not text.startswith("tune.")]
        texts = [*kept, *override_texts(settings)]
        return ["potstill", "run", str(self.path), *(word for text in texts for word in ("--set", text))]


def check_space(source: Source, tune: TuneConfig) -> Candidates:
    """The graphs at the ends of every dimension, each alone laid over the recipe; ConfigError with all faults."""
    faults: list[str] = []
    candidates: list[tuple[str, Graph]] = []
    for name, settings in ends(tune.space):
        try:
            candidates.append((name, source.graph(tune, settings)))
        except ConfigError as error:
            faults += [f"tune.space: with {name}: {fault}" for fault in _details(error)]
    faults += list(_without_effect(source, tune, candidates))
    if faults:
        raise ConfigError([f"recipe {source.path}: what [tune] varies: {_count(faults)}", *dict.fromkeys(faults)])
    return candidates


def common_nodes(candidates: Candidates) -> Graph:
    """What is the same in all of them: it is made once, before the first trial."""
    first, *others = [graph for _, graph in candidates]
    common: list[Node] = []
    for node in first.nodes:
        same = all(_find(graph, node.name) == node for graph in others)
        if same and set(node.inputs.values()) <= {before.name for before in common}:
            common.append(node)
    return Graph(tuple(common))


def study_digest(source: Source, tune: TuneConfig, candidates: Candidates) -> str:
    """20 digits over all that decides what a trial with given settings comes to: another is another study."""
    content, digests = tune.model_dump_json(exclude={"trials", "parallel"}), open_digest_cache()
    for name, graph in candidates:
        content += "\n".join([name, *(_described(node, digests) for node in graph.nodes)])
    digests.save()
    return bytes_digest(content.encode())[:20]


def _described(node: Node, digests: DigestCache) -> str:
    """All that decides what a node makes of what it reads."""
    stage = node.stage()
    outside = {"files": external_digests(stage, node.config, digests), "libraries": library_versions(stage.LIBRARIES)}
    return f"{node.name} {stage.VERSION} {node.config.model_dump_json()} {json.dumps(outside, sort_keys=True)}"


def _details(error: ConfigError) -> list[str]:
    """The faults without the line that counts them."""
    return [fault for fault in error.faults if not fault.startswith("recipe ")]


def _without_effect(source: Source, tune: TuneConfig, candidates: Candidates) -> Iterator[str]:
    for name in tune.space:
        graphs = [graph for title, graph in candidates if title.startswith(f"{name} = ")]
        if len(graphs) > 1 and all(graph == graphs[0] for graph in graphs[1:]):
            yield f"tune.space: {name} changes nothing in {tune.until} or in what it needs; vary another key"


def _find(graph: Graph, name: str) -> Node | None:
    return next((node for node in graph.nodes if node.name == name), None)


def _without(graph: Graph, names: set[str]) -> Graph:
    kept = [node for node in graph.nodes if node.name not in names]
    return Graph(tuple(replace(node, inputs={r: n for r, n in node.inputs.items() if n not in names}) for node in kept))


def _count(faults: Sequence[str]) -> str:
    count = len(dict.fromkeys(faults))
    return "1 fault" if count == 1 else f"{count} faults"
