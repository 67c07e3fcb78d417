"""Whole stage: translations as the stage evaluate leaves them, of nothing."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from data.runtime import Runtime
from data.store import Artifact
from tests.fixtures.made_up_run import translations

VERSION = "1"
LIBRARIES: tuple[str, ...] = ()
INPUTS: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    output.write_shard("translations-00000", translations())
    return {}
