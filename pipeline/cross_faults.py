"""Options that are right each for itself, but not together: what would otherwise fail hours into a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from stages import student, teacher
from stages.training.config import ModelConfig
from stages.training.objective_config import ObjectiveConfig
from stages.training.online.faults import online_faults
from stages.training.online.layers import Shape
from stages.training.online.named import named_terms
from stages.training.schedules import always_zero
from stages.training.start_config import StartConfig

# Kinds of teacher that come with an OpenNMT-py checkpoint.
WITH_CHECKPOINT = {"train", "opennmt"}
_ONLINE = {
    "features": "feature distillation",
    "attention": "attention distillation",
    "relations": "relation distillation",
    "sentences": "distillation of relations between sentences",
    "contrastive": "contrastive distillation",
}


def cross_faults(configs: Mapping[str, BaseModel]) -> list[str]:
    """Faults between sections, by node; stages that are not there, or had faults of their own, are left out."""
    options = {name: config.model_dump() for name, config in configs.items()}
    return [*_torch_needs_a_checkpoint(options), *_start_fits_the_teacher(options), *_online_terms(configs)]


def _torch_needs_a_checkpoint(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    kind = options.get("teacher", {}).get("kind")
    if kind and kind not in WITH_CHECKPOINT and options.get("score", {}).get("backend") == "torch":
        yield (
            f"score.backend: 'torch' needs a teacher with an OpenNMT-py checkpoint, but teacher.kind is {kind!r}; "
            "set it to 'ctranslate2' or 'auto'"
        )


def _start_fits_the_teacher(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for node in ("student", "baseline"):
        start, kind = options.get(node, {}).get("start"), options.get("teacher", {}).get("kind")
        if start is None:
            continue
        if kind and kind not in WITH_CHECKPOINT:
            yield (
                f"{node}.start: a student starts from a teacher's OpenNMT-py checkpoint, but teacher.kind is {kind!r}; "
                f"leave [{node}.start] out, or take a teacher of kind 'train' or 'opennmt'"
            )
            continue
        shape = ModelConfig.model_validate(options["teacher"]["model"]) if kind == "train" else None
        faults = StartConfig.model_validate(start).faults(ModelConfig.model_validate(options[node]["model"]), shape)
        yield from (f"{node}.{fault}" for fault in faults)


def _online_terms(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """Terms of the student's objectives that need a teacher in memory: is there one, and do their layers exist?"""
    learner, given = configs.get("student"), configs.get("teacher")
    if not isinstance(learner, student.Config):
        return
    known = given if isinstance(given, teacher.Config) else None
    shape = Shape.of(known.model) if known is not None and known.kind == "train" else None
    for key, objective in _objectives(learner):
        if known is not None and known.kind not in WITH_CHECKPOINT:
            yield from (f"{key}.{fault}" for fault in _no_pytorch_teacher(objective, known.kind))
        yield from (f"{key}.{fault}" for fault in online_faults(objective, Shape.of(learner.model), shape))


def _objectives(learner: student.Config) -> Iterator[tuple[str, ObjectiveConfig]]:
    yield "student.objective", learner.objective
    for number, phase in enumerate(learner.phases):
        if phase.objective is not None:
            yield f"student.phases[{number}].objective", phase.objective


def _no_pytorch_teacher(objective: ObjectiveConfig, kind: str) -> Iterator[str]:
    only = (
        "names only a CTranslate2 folder" if kind == "ctranslate2" else f"has only a CTranslate2 folder of a {kind} one"
    )
    for named in named_terms(objective):
        if not always_zero(named.term.weight):
            yield (
                f"{named.key}: {_ONLINE[named.key.partition('[')[0]]} needs a PyTorch teacher; this recipe {only}: "
                "train one here (teacher.kind = 'train'), name an OpenNMT-py checkpoint (teacher.kind = 'opennmt'), "
                "or leave the term out"
            )
