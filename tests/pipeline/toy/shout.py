"""Shard stage: the source in capitals. Can be made slow, or to fail, as often as a test wants."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data.errors import DataError
from data.runtime import Runtime
from data.store import Artifact

VERSION = "1"
READS = {"corpus": ("source",)}
RESOURCES = ("corpus",)
LIBRARIES = ("pyarrow",)
SCHEMA = pa.schema(
    [pa.field("id", pa.string(), nullable=False), pa.field("loud", pa.string(), False, {"comment": "capitals"})]
)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mark: str = Field("!", max_length=3)
    seconds: float = Field(0.0, ge=0, le=60)
    # Folder in which calls leave a trace; what a source must hold for the call to go wrong, and how, and how often.
    trace: str = ""
    trouble: str = ""
    kind: str = "raise"
    times: int = 1_000


@dataclass(frozen=True)
class Resources:
    shards: int


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    _leave(config, f"load-{os.getpid()}-{time.monotonic_ns()}")
    return Resources(len(artifacts["corpus"].shard_names("train-")))


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    sources = table.column("source").to_pylist()
    begun = _leave(config, f"run-{sources[0]}-{time.monotonic_ns()}")
    if config.trouble and config.trouble in sources:
        _fail(config, sources[0])
    time.sleep(config.seconds)
    if begun:
        begun.rename(begun.with_name("ended-" + begun.name))
    loud = [f"{source.upper()}{config.mark} of {resources.shards}" for source in sources]
    return pa.table([table.column("id"), pa.array(loud)], schema=SCHEMA)


def count(table: pa.Table) -> dict[str, int | float]:
    return {"tokens": sum(len(text.split()) for text in table.column("loud").to_pylist())}


def _fail(config: Config, first: str) -> None:
    if len(list(Path(config.trace).glob(f"run-{first}-*"))) > config.times:
        return
    if config.kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.kind == "data":
        raise DataError("a row that cannot be", row_id="00ff")
    raise RuntimeError("the machine hiccuped")


def _leave(config: Config, name: str) -> Path | None:
    if not config.trace:
        return None
    path = Path(config.trace) / name
    path.touch()
    return path
