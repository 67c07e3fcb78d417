"""Several teachers: the registry with nodes of its own for each, and those that put their work together.

A teacher whose translations are given (`kind = "given"`) has other nodes than one that is asked for them, and one more,
which puts its file to the corpus's rows: pipeline/recipe/given.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from data.teachers import FIRST, GIVEN, node_of
from pipeline.recipe.given import given_faults, gives_log_probs, is_given, nodes_of_given, reads_given
from pipeline.recipe.graph import StageEntry
from pipeline.recipe.sections import check_section, table

SECTION = "teachers"
# Stages that work with one teacher, which each of them has a node of.
_OF_A_TEACHER = ("tokenizer", "teacher", "calibrate", "decode", "scorer", "score")
# What stands in for one teacher's work, in the stages that go on with it, or tell of it.
_GO_ON = {"select": {"decode": "pool"}, "sides": {"decode": "pool"}, "measure": {"score": "fuse"}}
_TELL = ("dataset", "student", "evaluate", "report")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Beside(BaseModel):
    """What a further teacher's section may say beside the keys of `[teacher]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    soft_targets: bool = Field(
        True,
        description="whether it scores too, and its soft targets are fused with the others'; it must have the same "
        "vocabulary; false: it gives hypotheses alone, which are compared as texts; with kind = 'given' by default "
        "false",
    )
    tokenizer: dict[str, Any] | None = Field(
        None,
        description="a tokenizer of its own, with the keys of [tokenizer], such as {kind = 'teacher'}; by default it "
        "shares that of [tokenizer]",
    )


@dataclass(frozen=True)
class Further:
    """A teacher beside the first one."""

    name: str
    scores: bool = True
    own_tokenizer: bool = False
    given: bool = False


def with_teachers(stages: Sequence[StageEntry], document: Mapping[str, Any]) -> tuple[Sequence[StageEntry], list[str]]:
    """The registry for a recipe's teachers, and what is wrong with how they are named; unchanged where there is one
    that is asked."""
    if FIRST not in {entry.node for entry in stages}:
        return stages, []
    further, faults = _further(document)
    first = table(document, FIRST)
    given = [FIRST] * is_given(first) + [one.name for one in further if one.given]
    if given:
        scoring = [one.name for one in further if one.scores]
        faults += given_faults(document, scoring, alone=len(given) == len(further) + 1)
    stages = _expanded(stages, further) if further else stages
    if is_given(first):
        stages = [each for entry in stages for each in nodes_of_given(entry, FIRST, scores=gives_log_probs(first))]
    return reads_given(stages, given, document), faults


def _further(document: Mapping[str, Any]) -> tuple[list[Further], list[str]]:
    """The further teachers that a recipe names, and what is wrong with how it does."""
    if SECTION not in document:
        return [], []
    named = document[SECTION]
    if not isinstance(named, dict) or not named:
        return [], [f"{SECTION}: expected a section [{SECTION}.NAME] for each further teacher; found {named!r}"]
    faults, further = list[str](), list[Further]()
    for name, content in named.items():
        if wrong := _name_faults(name, content):
            faults += wrong
            continue
        given = is_given(content)
        told = {key: value for key, value in content.items() if key in Beside.model_fields}
        beside, found = check_section(Beside, {"soft_targets": not given} | told, f"{SECTION}.{name}")
        faults += found
        if beside is not None and given and beside.tokenizer is not None:
            faults.append(f"{SECTION}.{name}.tokenizer: its texts are split by [tokenizer]; leave it out")
        elif beside is not None:
            further.append(Further(name, beside.soft_targets, beside.tokenizer is not None, given))
    faults += [_own_vocabulary(one) for one in further if one.scores and one.own_tokenizer]
    return further, faults


def _name_faults(name: str, content: Any) -> list[str]:
    if not isinstance(content, dict):
        return [f"{SECTION}.{name}: expected a section [{SECTION}.NAME] for each further teacher; found {content!r}"]
    if name == FIRST or not _NAME.fullmatch(name):
        return [
            f"{SECTION}.{name}: no name for a further teacher; expected small letters, digits and _, a letter first, "
            f"and not {FIRST!r}, which [teacher] has"
        ]
    return []


def _own_vocabulary(one: Further) -> str:
    return (
        f"{SECTION}.{one.name}.tokenizer: with other subwords its vocabulary is another one, and soft targets are "
        f"fused by id; set {SECTION}.{one.name}.soft_targets = false, and it gives hypotheses alone, or leave its "
        "tokenizer out, and it shares that of [tokenizer]"
    )


def _expanded(stages: Sequence[StageEntry], further: Sequence[Further]) -> list[StageEntry]:
    scoring = [FIRST, *(one.name for one in further if one.scores)]
    fused = len(scoring) > 1
    expanded = []
    for entry in stages:
        expanded.append(_going_on(entry, further, fused))
        if entry.node in _OF_A_TEACHER:
            for one in (one for one in further if _has(entry.node, one)):
                own = _of_a_teacher(entry, one)
                expanded += nodes_of_given(own, one.name) if one.given else [own]
        if entry.node == "decode":
            expanded.append(_pool(further))
        if entry.node == "score" and fused:
            expanded.append(StageEntry("fuse", "stages.fuse.stage", fixed={"teachers": tuple(scoring)}))
    return expanded


def _has(stage: str, one: Further) -> bool:
    return {"tokenizer": one.own_tokenizer, "scorer": one.scores, "score": one.scores}.get(stage, True)


def _of_a_teacher(entry: StageEntry, one: Further) -> StageEntry:
    """A stage's node for a further teacher: it reads the nodes that are this teacher's own in the first one's place."""
    own = {
        stage: node_of(stage, one.name) for stage in ("teacher", "calibrate", "scorer", GIVEN) if stage != entry.node
    }
    if one.own_tokenizer and entry.node != "tokenizer":
        own["tokenizer"] = node_of("tokenizer", one.name)
    section, drops = entry.section or entry.node, entry.drops
    if entry.node == "teacher":
        section, drops = f"{SECTION}.{one.name}", tuple(Beside.model_fields)
    elif entry.node == "tokenizer":
        section = f"{SECTION}.{one.name}.tokenizer"
    return replace(
        entry,
        node=node_of(entry.node, one.name),
        section=section,
        own=entry.node in ("teacher", "tokenizer"),
        required=False,
        drops=drops,
        instead={**entry.instead, **own},
    )


def _pool(further: Sequence[Further]) -> StageEntry:
    fixed = {
        "teachers": (FIRST, *(one.name for one in further)),
        "retokenised": tuple(one.name for one in further if one.own_tokenizer),
    }
    return StageEntry("pool", "stages.pool.stage", fixed=fixed)


def _going_on(entry: StageEntry, further: Sequence[Further], fused: bool) -> StageEntry:
    """A stage that goes on with what all teachers made, where it went on with what one made."""
    together = ("pool", *(("fuse",) if fused else ()))
    stand_in = {role: node for role, node in _GO_ON.get(entry.node, {}).items() if node in together}
    also = [node_of("teacher", one.name) for one in further]
    if entry.node == "evaluate":
        also += [node_of("tokenizer", one.name) for one in further if one.own_tokenizer]
    # The student is compared with the teachers alone, to tell when a language pair needs its own no more.
    elif entry.node != "student":
        also += together
    return replace(
        entry,
        instead={**entry.instead, **stand_in},
        also=(*entry.also, *(also if entry.node in _TELL else ())),
    )
