"""Whole stage: both totals side by side, as far as they are there."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from data.runtime import Runtime
from data.store import Artifact

VERSION = "1"
LIBRARIES: tuple[str, ...] = ()
INPUTS = ("total", "base")


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    totals = {name: int((artifact.path() / "total.txt").read_text()) for name, artifact in inputs.items()}
    (output.work_path() / "metrics.json").write_text(json.dumps(totals))
    return totals
