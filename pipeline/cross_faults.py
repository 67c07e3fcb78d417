"""Options that are right each for itself, but not together: what would otherwise fail hours into a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

# Kinds of teacher that come with an OpenNMT-py checkpoint.
WITH_CHECKPOINT = {"train", "opennmt"}


def cross_faults(configs: Mapping[str, BaseModel]) -> list[str]:
    """Faults between sections, by node; stages that are not there, or had faults of their own, are left out."""
    options = {name: config.model_dump() for name, config in configs.items()}
    return list(_torch_needs_a_checkpoint(options))


def _torch_needs_a_checkpoint(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    kind = options.get("teacher", {}).get("kind")
    if kind and kind not in WITH_CHECKPOINT and options.get("score", {}).get("backend") == "torch":
        yield (
            f"score.backend: 'torch' needs a teacher with an OpenNMT-py checkpoint, but teacher.kind is {kind!r}; "
            "set it to 'ctranslate2' or 'auto'"
        )
