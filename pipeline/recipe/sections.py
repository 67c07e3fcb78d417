"""From a recipe's sections to configs: each stage's own model checks its keys, then looks for its files."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.recipe.faults import did_you_mean, validation_faults, without_unknown_keys
from pipeline.recipe.graph import StageEntry

Model = TypeVar("Model", bound=BaseModel)


def misplaced_sections(document: Mapping[str, Any], stages: Sequence[StageEntry]) -> list[str]:
    """Faults for what is no section, or a section of no stage."""
    known = {"run", "tune", *(_first_key(entry.only_with or entry.section or entry.node) for entry in stages)}
    if "teacher" in known:
        known.add("teachers")
    unknown = [f"{name}: {_unknown(name, known)}" for name in document if name not in known]
    no_tables = [
        f"{name}: expected a section [{name}]; found {content!r}"
        for name, content in document.items()
        if name in known and not isinstance(content, dict)
    ]
    return unknown + no_tables


def _unknown(name: str, known: Iterable[str]) -> str:
    if name == "fuse":
        return "puts the soft targets of several teachers together; leave it out, or name another one that scores"
    return f"unknown section{did_you_mean(name, known)}"


def check_stages(
    document: Mapping[str, Any], stages: Sequence[StageEntry], *, files: bool = True
) -> tuple[dict[str, BaseModel], list[str]]:
    """A config for every node whose section is right, and the faults of all others; without `files`, of keys alone."""
    configs: dict[str, BaseModel] = {}
    faults: list[str] = []
    for entry in stages:
        if entry.only_with and entry.only_with not in document:
            continue
        config, found = _check_stage(entry, document, files)
        faults += found
        if config is not None:
            configs[entry.node] = config
    return configs, faults


def check_section(model: type[Model], content: Mapping[str, Any], name: str) -> tuple[Model | None, list[str]]:
    """The config and all that is wrong; None for a config that cannot be told without what is wrong.

    Unknown keys are left out for a second look, so that they hide neither validators' faults nor missing files.
    """
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        faults = validation_faults(model, error, name)
        known = without_unknown_keys(content, error)
    if known is None:
        return None, faults
    config, more = check_section(model, known, name)
    return config, list(dict.fromkeys([*faults, *more]))


def table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section, or with dots a table in one; empty when it is not there or is none."""
    content: Any = document
    for part in name.split("."):
        content = content.get(part, {}) if isinstance(content, dict) else {}
    return content if isinstance(content, dict) else {}


def _check_stage(entry: StageEntry, document: Mapping[str, Any], files: bool) -> tuple[BaseModel | None, list[str]]:
    section = entry.section or entry.node
    if entry.required and section not in document:
        return None, [f"{section}: the section [{section}] is required, but not given"]
    module = importlib.import_module(entry.module)
    content = {key: value for key, value in table(document, section).items() if key not in entry.drops}
    if misplaced := [
        f"{section}.{key}: taken from [[{place}]]; write it there"
        for key, place in entry.takes.items()
        if key in content
    ]:
        return None, misplaced
    content |= _taken(entry, document)
    if entry.own or entry.node == section:
        clashes = _clashes(entry, content, section)
        config, faults = check_section(module.Config, _merge(content, entry.fixed), section)
        faults = clashes + faults
    else:
        config, faults = _check_variant(entry, module.Config, content, table(document, entry.node))
    if files and config is not None and hasattr(module, "faults"):
        faults += _under_own_name(module.faults(config), entry)
    return config, faults


def _taken(entry: StageEntry, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the section has from another one, where that says it."""
    found = {}
    for key, place in entry.takes.items():
        other, _, name = place.rpartition(".")
        if name in table(document, other):
            found[key] = table(document, other)[name]
    return found


def _check_variant(
    entry: StageEntry, model: type[Model], section: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[Model | None, list[str]]:
    """The config of a second node of a stage: its section laid over the first one's, whose faults are told there."""
    clashes = _clashes(entry, own, entry.node)
    inherited = check_section(model, section, entry.node)[1]
    config, faults = check_section(model, _merge(_merge(section, own), entry.fixed), entry.node)
    return config, clashes + [fault for fault in faults if fault not in inherited]


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, tables merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _clashes(entry: StageEntry, content: Mapping[str, Any], name: str) -> list[str]:
    """A fault for every key that the recipe sets to something else than it always is."""
    return [
        f"{name}.{key}: always {value!r}; leave it out"
        for key, value in entry.fixed.items()
        if content.get(key, value) != value
    ]


def _under_own_name(faults: Sequence[str], entry: StageEntry) -> list[str]:
    """Faults as a stage tells them, under the name of the section that they are in."""
    stage = f"{entry.stage}."
    name = f"{entry.section or entry.node}." if entry.own or not entry.section else stage
    return [name + fault.removeprefix(stage) if fault.startswith(stage) else fault for fault in faults]


def _first_key(section: str) -> str:
    return section.partition(".")[0]
