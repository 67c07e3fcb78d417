"""Whole stage of trial runs alone: the teacher in the place of an exported student, for what evaluates it.

A student of a few dozen steps translates nothing: it would be timed on endless nonsense.
"""

import shutil
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from data.artifact import Artifact
from data.runtime import Runtime

VERSION = "1"
INPUTS = ("teacher", "tokenizer")
LIBRARIES: tuple[str, ...] = ()


class Config(BaseModel):
    """It has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves the teacher's model and its tokenizer in one folder, as the stage export does with a student."""
    folder = output.work_path()
    for artifact in (inputs["teacher"], inputs["tokenizer"]):
        place = artifact.path()
        for record in artifact.manifest().files:
            if "/" not in record.name:
                shutil.copyfile(place / record.name, folder / record.name)
    return {}
