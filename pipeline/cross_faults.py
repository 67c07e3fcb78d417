"""Options that are right each for itself, but not together: what would otherwise fail hours into a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from stages.training.config import ModelConfig
from stages.training.start_config import StartConfig

# Kinds of teacher that come with an OpenNMT-py checkpoint.
WITH_CHECKPOINT = {"train", "opennmt"}


def cross_faults(configs: Mapping[str, BaseModel]) -> list[str]:
    """Faults between sections, by node; stages that are not there, or had faults of their own, are left out."""
    options = {name: config.model_dump() for name, config in configs.items()}
    return [*_torch_needs_a_checkpoint(options), *_start_fits_the_teacher(options)]


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
