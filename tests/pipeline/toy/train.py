"""Whole stage: a training with a loss in closed form, so that its optimum is known. Goes on where a kill stopped it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.errors import DataError
from data.runtime import Runtime
from data.store import Artifact

VERSION = "1"
LIBRARIES: tuple[str, ...] = ()
INPUTS = ("shout",)


class Optimiser(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(4, ge=1)
    validate_every: int = Field(1, ge=0)
    shuffle_rows: int = Field(100, ge=1)
    report_every: int = Field(1, ge=1)
    checkpoint_every: int = Field(1, ge=1)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    x: float = Field(0.0, ge=-1, le=1)
    y: float = Field(0.0, ge=-1, le=1)
    layers: list[int] = Field(default_factory=lambda: [1])
    depth: int = Field(1, ge=1)
    # What the call does instead of training.
    trouble: Literal["", "nan", "data"] = ""
    seconds: float = Field(0.0, ge=0)
    # Folder in which calls leave a trace.
    trace: str = ""
    optimiser: Optimiser = Optimiser()


def faults(config: Config) -> list[str]:
    if len(config.layers) != config.depth:
        return [f"student.layers: {len(config.layers)} for a depth of {config.depth}"]
    return ["student.y: is 1, as x is; lower one of them"] if config.x == config.y == 1 else []


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    return {"shout": {"train": ("loud",)}}


def loss_after(config: Config, step: int) -> float:
    """Least at x = 0.3, y = -0.4, where it is 1 / step."""
    if config.trouble == "nan":
        return float("nan")
    return (config.x - 0.3) ** 2 + (config.y + 0.4) ** 2 + 1 / step


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    if config.trouble == "data":
        raise DataError("nothing can be learnt from this")
    folder = output.work_path()
    state = folder / ".step"
    begin = int(state.read_text()) if state.exists() else 0
    if config.trace:
        (Path(config.trace) / f"from {begin} of {output.fingerprint} {time.monotonic_ns()}").touch()
    for step in range(begin + 1, config.optimiser.steps + 1):
        time.sleep(config.seconds)
        loss = loss_after(config, step)
        runtime.progress(step, config.optimiser.steps, {"loss": loss})
        _write_line(folder, {"step": step, "seconds": step * config.seconds, "loss": loss})
        if config.optimiser.validate_every and step % config.optimiser.validate_every == 0:
            figures = {"valid_loss": loss, "valid_accuracy": -loss}
            _write_line(folder, {"step": step, **figures})
            runtime.validated(step, figures)
        state.write_text(str(step))
    loss = loss_after(config, config.optimiser.steps)
    figures = {"valid_loss": loss, "valid_accuracy": -loss, "parts": {"chrf": 50 - loss}}
    rows = sum(table.num_rows for table in inputs["shout"].tables("train-"))
    return figures | {"steps": config.optimiser.steps, "tokens": config.optimiser.steps * rows}


def _write_line(folder: Path, line: Mapping[str, float]) -> None:
    with (folder / "training.jsonl").open("a") as lines:
        lines.write(json.dumps(line) + "\n")
