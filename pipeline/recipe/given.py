"""Teachers whose translations are given: the nodes that they have in the place of those that ask a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data.teachers import FIRST, GIVEN, node_of, section_of
from pipeline.recipe.graph import StageEntry
from pipeline.recipe.sections import table

# Stages that a model alone has any work for.
_OF_MODELS = ("calibrate", "scorer")
# What the file's translations are put to the corpus for, is told of in these.
_TELL = ("dataset", "evaluate", "report")
# Where these are trained, they learn of its texts, too: without references nothing else is in their target's language.
_LEARN = ("tokenizer", "student_tokenizer")


def is_given(section: Mapping[str, Any]) -> bool:
    """Whether a teacher's section says that its translations are given."""
    return section.get("kind") == "given"


def gives_log_probs(section: Mapping[str, Any]) -> bool:
    """Whether it says that there are soft targets among them."""
    return section.get("soft_targets") is True


def nodes_of_given(entry: StageEntry, name: str, *, scores: bool = True) -> list[StageEntry]:
    """An entry of the registry as a teacher of this name has it whose translations are given; that of others as it is.

    `scores`: there are soft targets among them.
    """
    own = {node_of(stage, name): stage for stage in ("teacher", "decode", "score", *_OF_MODELS)}
    stage = own.get(entry.node)
    if stage in _OF_MODELS:
        return []
    if stage == "decode":
        return [replace(entry, module="stages.given.encode")]
    if stage == "score":
        return [replace(entry, module="stages.score.given" if scores else "stages.score.nothing")]
    if stage == "teacher":
        joined = StageEntry(
            node_of(GIVEN, name), "stages.given.join", section_of(name), own=True, drops=("made_by", "tokenizer")
        )
        # Beside another teacher it has the vocabulary that this one has.
        asked = replace(entry, module="stages.given.stage", takes={}, also=() if name == FIRST else (FIRST,))
        return [joined, asked]
    # The faults of [decode] are told by those who are left to decode.
    return [replace(entry, own=True)] if name == FIRST and entry.section == "decode" else [entry]


def reads_given(
    stages: Sequence[StageEntry], names: Sequence[str], document: Mapping[str, Any]
) -> Sequence[StageEntry]:
    """The registry in which the translations of the teachers of these names are read by whoever needs their texts."""
    if not names:
        return stages
    nodes = tuple(node_of(GIVEN, name) for name in names)

    def reads(entry: StageEntry) -> bool:
        trained = table(document, entry.node).get("kind", "train") == "train"
        return entry.node in _TELL or (entry.node in _LEARN and trained)

    return [replace(entry, also=(*entry.also, *nodes)) if reads(entry) else entry for entry in stages]


def given_faults(document: Mapping[str, Any], scoring: Sequence[str], *, alone: bool) -> Iterator[str]:
    """What a recipe says that its teachers have no stage for; `scoring`: further teachers with soft targets.

    `alone`: there is no teacher in it that is asked.
    """
    if alone and "decode" in document:
        yield "decode: no teacher of this recipe is asked, its translations are given; leave the section out"
    first = table(document, FIRST)
    if not is_given(first) or gives_log_probs(first):
        return
    if scoring:
        named = ", ".join(section_of(name) for name in scoring)
        yield (
            f"{named}: its soft targets would be of the vocabulary of [teacher], which is given and has none; make it "
            f"[teacher], and what is given [teachers.NAME], or set soft_targets = false in {named}"
        )
    elif "score" in document:
        yield (
            "score: there is no teacher that could score, and no log-probabilities are given; leave the section out, "
            "or set teacher.soft_targets = true where the file has log_probs"
        )
