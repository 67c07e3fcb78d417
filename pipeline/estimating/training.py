"""What a training of a few dozen steps says about one of many thousands."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from data.store import Manifest
from pipeline.estimating.trial import Trial
from pipeline.recipe.graph import Node
from stages.training.curves import VALID_SECONDS, timed_lines

# The first steps are slow: memory is fetched, kernels are chosen, the first batches are made.
WARM_UP_STEPS = 20
TIMED_STEPS = 80
BLOCK_STEPS = 5
# What a few steps cannot have.
_OF_A_WHOLE_COURSE = frozenset({"epochs", "rounded_steps"})
_OF_SEVERAL_VALIDATIONS = frozenset({"ships", "average", "patience"})
# Keys of phases and schedules whose numbers are steps.
_IN_STEPS = {"begin", "until"}


@dataclass(frozen=True)
class TrainingTimes:
    """Seconds of a step, block by block, of a validation, and of all that is done once."""

    steps: tuple[float, ...]
    validation: float
    once: float


@dataclass(frozen=True)
class ShortTraining:
    """A training of a few steps: what it left, and its times, read before its folder goes."""

    manifest: Manifest
    times: TrainingTimes


def rows_in_hand(node: Node) -> int:
    """Rows of which a training makes batches at a time: the more, the more of one length, and the less padding."""
    rows: int = node.config.optimiser.shuffle_rows  # type: ignore[attr-defined]
    return rows


def short_training(config: BaseModel) -> BaseModel:
    """The config of a training to be timed: few steps, reported in blocks, one validation at the end.

    Phases and schedules come as early as the training is shorter, so that each part of it has its share of the steps.
    """
    options = config.model_dump(exclude_unset=True)
    shrunk: dict[str, Any] = _in_time(options, config.optimiser.steps)  # type: ignore[attr-defined]
    steps = WARM_UP_STEPS + TIMED_STEPS
    few = {"steps": steps, "report_every": BLOCK_STEPS, "validate_every": 0, "checkpoint_every": steps}
    shrunk["optimiser"] = {**_without(shrunk, "optimiser", _OF_A_WHOLE_COURSE), **few}
    if "validation" in shrunk:
        shrunk["validation"] = _without(shrunk, "validation", _OF_SEVERAL_VALIDATIONS)
    return type(config).model_validate(shrunk)


def _without(options: dict[str, Any], section: str, names: frozenset[str]) -> dict[str, Any]:
    found = {name: value for name, value in options.get(section, {}).items() if name not in names}
    # Such a rate falls to nothing at an end that is not there; what a step costs does not hang on it.
    return found | ({"schedule": "inverse_sqrt"} if found.get("schedule") in ("linear", "cosine") else {})


def in_steps(config: BaseModel, short: Manifest, grown: float) -> BaseModel:
    """The config of the recipe with its steps, where they are told in epochs.

    `short` is of a training on a sample, which has `grown` times fewer rows.
    """
    optimiser: Any = config.optimiser  # type: ignore[attr-defined]
    if getattr(optimiser, "epochs", None) is None:
        return config
    of_an_epoch = short.metrics["steps"] / short.metrics["epochs"] * grown
    steps = max(math.ceil(optimiser.epochs * of_an_epoch), 1)
    return config.model_copy(update={"optimiser": optimiser.model_copy(update={"steps": steps})})


def _in_time(options: Any, steps: int) -> Any:
    """Options in which all that is told in steps is told for a training to be timed."""
    if isinstance(options, list | tuple):
        return _in_order([_in_time(each, steps) for each in options])
    if not isinstance(options, dict):
        return options
    found = {key: _in_time(value, steps) for key, value in options.items()}
    for key in _IN_STEPS & options.keys():
        found[key] = WARM_UP_STEPS + round(options[key] * TIMED_STEPS / steps)
    if found.keys() >= _IN_STEPS:
        found["until"] = max(found["until"], found["begin"] + 1)
    return found


def _in_order(parts: list[Any]) -> list[Any]:
    """Phases that would now begin together begin one after the other, the last one before the end."""
    for number, part in enumerate(parts):
        if isinstance(part, dict) and "begin" in part:
            after = parts[number - 1]["begin"] + 1 if number else 1
            last = WARM_UP_STEPS + TIMED_STEPS - len(parts) + number
            parts[number] = part | {"begin": max(after, min(part["begin"], last))}
    return parts


def read_times(trial: Trial) -> TrainingTimes:
    """From what a short training left."""
    if trial.step.artifact is None:
        raise ValueError(f"{trial.step.node.name} was not run")
    lines = timed_lines(trial.step.artifact.path())
    trained = [line for line in lines if "loss" in line]
    validated = [line for line in lines if VALID_SECONDS in line]
    timed = [line for line in trained if line["step"] >= WARM_UP_STEPS]
    blocks = tuple(
        (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(timed)
    )
    validation = validated[-1][VALID_SECONDS] if validated else 0.0
    steps = sum(blocks) / len(blocks) * trained[-1]["step"]
    return TrainingTimes(blocks, validation, max(trial.seconds - validation - steps, 0.0))


def validations(config: BaseModel) -> int:
    """How often a whole training validates: every so many steps, and at its end."""
    optimiser: Any = config.optimiser  # type: ignore[attr-defined]
    steps, every = int(optimiser.steps), int(optimiser.validate_every)
    return math.ceil(steps / every) if every else 1
