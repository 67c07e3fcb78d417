"""Options that are right each for itself, but not together: what would otherwise fail hours into a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

# Kinds of teacher that come with an OpenNMT-py checkpoint.
WITH_CHECKPOINT = {"train", "opennmt"}


def cross_faults(configs: Mapping[str, BaseModel]) -> list[str]:
    """Faults between sections, by node; stages that are not there, or had faults of their own, are left out."""
    options = {name: config.model_dump() for name, config in configs.items()}
    return [*_torch_needs_a_checkpoint(options), *_soft_targets_fit_what_is_trained_on(options)]


def _torch_needs_a_checkpoint(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    kind = options.get("teacher", {}).get("kind")
    if kind and kind not in WITH_CHECKPOINT and options.get("score", {}).get("backend") == "torch":
        yield (
            f"score.backend: 'torch' needs a teacher with an OpenNMT-py checkpoint, but teacher.kind is {kind!r}; "
            "set it to 'ctranslate2' or 'auto'"
        )


def _soft_targets_fit_what_is_trained_on(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    student = options.get("student", {})
    uses_them = student.get("data") == "hypothesis" and student.get("soft_target_weight", 0) > 0
    if uses_them and options.get("score", {}).get("conditioning") == "reference":
        yield (
            "score.conditioning: 'reference' makes soft targets that do not fit the hypotheses a student trains on; "
            "set it to 'hypothesis', or student.soft_target_weight to 0"
        )
