"""Whole stage: adds up lengths, or the rows alone, and writes a file. Two nodes use it, as student and baseline do."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.runtime import Runtime
from data.store import Artifact

VERSION = "1"
LIBRARIES: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Literal["length", "rows"] = "length"
    factor: int = Field(1, ge=1, le=10)
    seconds: float = Field(0.0, ge=0)
    trace: str = ""


def inputs(config: Config) -> tuple[str, ...]:
    return ("corpus", "count") if config.data == "length" else ("corpus",)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    begun = time.time()
    runtime.progress(0, 2, {"loss": 2.5})
    time.sleep(config.seconds)
    if config.data == "length":
        total = sum(sum(table.column("length").to_pylist()) for table in inputs["count"].tables("train-"))
    else:
        total = sum(table.num_rows for table in inputs["corpus"].tables("train-"))
    (output.work_path() / "total.txt").write_text(f"{config.factor * total}\n")
    runtime.progress(2, 2, {"loss": 0.5})
    if config.trace:
        name = f"{output.node} {runtime.threads} {begun} {time.time()}"
        (Path(config.trace) / name).touch()
    return {"total": config.factor * total}
