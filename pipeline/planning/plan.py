"""What is done, what is not, and why: fingerprints by content, node after node."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel

from data.fingerprint import DigestCache, fingerprint, library_versions, mapping_digest, path_digest
from data.local import user_cache
from data.store import Artifact, Manifest, Store
from data.teachers import GIVEN, given_nodes, section_of
from pipeline.recipe.graph import Graph, Node, reads_of

State = Literal["done", "partial", "to do", "waiting"]
# Shard stages work on what is trained on; the other splits are translated in `evaluate` alone.
SPLIT = "train-"


@dataclass(frozen=True)
class Identity:
    """All that decides what a node leaves behind, as the manifest keeps it."""

    stage: str
    version: str
    config: dict[str, Any]
    inputs: dict[str, str]
    libraries: dict[str, str]


@dataclass(frozen=True)
class Step:
    """A node of a plan. `waiting`: what it reads is not there yet, so what it will leave has no name yet."""

    node: Node
    state: State
    identity: Identity | None = None
    artifact: Artifact | None = None
    # What it reads, by the names the stage has for it.
    inputs: Mapping[str, Artifact] = field(default_factory=dict)
    # Rows of each shard to make, and of those that are there already; empty for whole stages.
    shards: Mapping[str, int] = field(default_factory=dict)
    finished: Mapping[str, int] = field(default_factory=dict)
    # Digests of what it reads outside the store.
    outside: Mapping[str, str] = field(default_factory=dict)
    # Of a finished artefact: digest of its content.
    content: str = ""
    reasons: tuple[str, ...] = ()


class Planner:
    """Looks at a store and says what is left to do. Remembers nothing but digests of external files."""

    def __init__(self, store: Store, digests: DigestCache) -> None:
        self.store = store
        self._digests = digests

    def plan(self, graph: Graph) -> list[Step]:
        """A step for every node, in order; raises DataError and ConfigError."""
        steps: dict[str, Step] = {}
        for node in graph.nodes:
            steps[node.name] = self.step(node, steps)
        self._digests.save()
        return list(steps.values())

    def step(self, node: Node, steps: Mapping[str, Step]) -> Step:
        """Where one node stands, given the steps of all that it reads."""
        inputs = {role: steps[name] for role, name in node.inputs.items()}
        if any(step.state != "done" for step in inputs.values()):
            return Step(node, "waiting", reasons=self._reasons(node, None))
        identity = self._identity(node, {role: _content(node, role, step) for role, step in inputs.items()})
        outside = external_digests(node.stage(), node.config, self._digests)
        artifact = self.store.artifact(node.name, _fingerprint(identity, outside))
        if artifact.is_complete():
            return Step(node, "done", identity, artifact, content=artifact.manifest().content_digest())
        artifacts = {role: step.artifact for role, step in inputs.items() if step.artifact is not None}
        shards = _shards(node, artifacts)
        finished = {name: record.rows for name, record in artifact.finished_shards().items()} if shards else {}
        state: State = "partial" if finished else "to do"
        reasons = () if finished else self._reasons(node, identity)
        return Step(node, state, identity, artifact, artifacts, shards, finished, outside, reasons=reasons)

    def _identity(self, node: Node, inputs: dict[str, str]) -> Identity:
        stage = node.stage()
        config = node.config.model_dump(mode="json")
        return Identity(node.name, stage.VERSION, config, inputs, library_versions(stage.LIBRARIES))

    def _reasons(self, node: Node, identity: Identity | None) -> tuple[str, ...]:
        """What differs from the newest artefact of this node; empty when there is none."""
        newest = newest_manifest(self.store, node.name)
        if newest is None:
            return ()
        stage = node.stage()
        now = identity or Identity(
            node.name, stage.VERSION, node.config.model_dump(mode="json"), newest.inputs, newest.libraries
        )
        reasons = tuple(_differences(newest, now))
        return reasons or (("a file it reads was changed",) if identity else ())


def newest_manifest(store: Store, node: str) -> Manifest | None:
    """Manifest of the artefact of a node that was completed last; None when there is none."""
    manifests = [artifact.manifest() for artifact in store.artifacts(node) if artifact.was_completed()]
    return max(manifests, key=lambda manifest: manifest.created, default=None)


def absent_files(steps: Sequence[Step], recipe: Path) -> list[str]:
    """A line for each file of translations that a step which is to be done reads, and that is not there yet.

    It may be made of the corpus, so a recipe without it is planned, and run as far as the corpus.
    """
    return [
        f"{section_of(name)}.{line}. To make it: `potstill run {recipe} --until corpus`, and `potstill export-text "
        f"--sources {recipe} FOLDER` writes the sources with their ids; translate them, leave the translations there "
        "(docs/teachers.md says in which form), and run again"
        for name, node in given_nodes(step.node.name for step in steps if step.state != "done").items()
        for line in _named(steps, node).stage().absent(_named(steps, node).config)
    ]


def _named(steps: Sequence[Step], name: str) -> Node:
    return next(step.node for step in steps if step.node.name == name)


def external_digests(stage: ModuleType, config: BaseModel, digests: DigestCache) -> dict[str, str]:
    """Of all outside the store that a stage reads, by path or URL: digests of local files, else what tells a change.

    Raises DataError when something is not there.
    """
    paths: list[Path] = stage.external_files(config) if hasattr(stage, "external_files") else []
    others: dict[str, str] = stage.external_identities(config) if hasattr(stage, "external_identities") else {}
    return {path.as_posix(): path_digest(path, digests) for path in paths} | others


def _fingerprint(identity: Identity, outside: Mapping[str, str]) -> str:
    return fingerprint(
        stage=identity.stage,
        version=identity.version,
        config=identity.config,
        inputs=identity.inputs,
        libraries=identity.libraries,
        files=dict(outside),
    )


def open_digest_cache() -> DigestCache:
    """Remembered digests of files outside the store: they belong to the machine, not to a recipe."""
    return DigestCache(user_cache() / "digests.json")


def _content(node: Node, role: str, step: Step) -> str:
    """Digest of what a stage reads of an input: all of it, or no more than some columns, where the stage says so.

    With TELLS_OF_INPUTS, as a card does, it says how they were made, and is made anew when that was in another way, be
    what came out the same.
    """
    stage, content = node.stage(), step.content
    if step.artifact is None:
        return content
    if role in (columns := _columns(node)):
        content = step.artifact.manifest().columns_digest(columns[role])
    if getattr(stage, "TELLS_OF_INPUTS", False):
        return mapping_digest({"content": content, "fingerprint": step.artifact.fingerprint})
    return content


def _columns(node: Node) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Of which inputs a node reads some columns of some splits alone: a shard stage of all that it does not load.

    A whole stage names inputs, splits and columns in `reads_only(config)`.
    """
    stage = node.stage()
    if node.kind == "shard":
        loaded, reads = node.resources(), reads_of(stage, node.config)
        split = SPLIT.removesuffix("-")
        return {role: {split: ("id", *columns)} for role, columns in reads.items() if role not in loaded}
    named: dict[str, dict[str, tuple[str, ...]]] = stage.reads_only(node.config) if hasattr(stage, "reads_only") else {}
    # What it says of a stage's node it says of the same stage's nodes of further teachers.
    further = {role: named[GIVEN] for role in given_nodes(node.inputs).values() if GIVEN in named}
    return named | further


def _shards(node: Node, inputs: Mapping[str, Artifact]) -> dict[str, int]:
    """Rows of every shard a shard stage must make: those of the first table it reads."""
    if node.kind == "whole":
        return {}
    first = next(iter(node.inputs))
    return {shard.name: shard.rows for shard in inputs[first].manifest().shards if shard.name.startswith(SPLIT)}


def _differences(old: Manifest, new: Identity) -> Iterator[str]:
    if old.version != new.version:
        yield f"version {old.version} -> {new.version}"
    before, after = dict(_flat(old.stage, old.config)), dict(_flat(new.stage, new.config))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield f"{key} {before.get(key, '(absent)')} -> {after.get(key, '(absent)')}"
    for name in sorted(old.libraries.keys() | new.libraries.keys()):
        found = old.libraries.get(name, "(absent)"), new.libraries.get(name, "(absent)")
        if found[0] != found[1]:
            yield f"{name} {found[0]} -> {found[1]}"
    for role in sorted(old.inputs.keys() | new.inputs.keys()):
        if old.inputs.get(role) != new.inputs.get(role):
            yield f"{role} was made anew"


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves of a config under their dotted keys."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _flat(f"{key}.{name}", below)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{key}[{index}]", item)
    else:
        yield key, value
