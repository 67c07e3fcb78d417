"""Schedules that never come into play: a number of the recipe that is other than it looks."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from stages.student import stage as student
from stages.training.data_config import Data, learns_soft_targets, shares_of
from stages.training.objective.config import ObjectiveConfig
from stages.training.schedules import Schedule, always_zero

Span = tuple[int, int, Data, ObjectiveConfig]


def schedule_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each."""
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if not isinstance(learner, student.Config):
            continue
        spans = list(learner.spans())
        for number, key, first, last in _held(learner, spans):
            _, _, data, objective = spans[number]
            place = f"{node}.phases[{number - 1}].{key}" if number else f"{node}.{key}"
            held = objective.schedules() if key == "objective" else _schedules_of(data)
            idle = {name: value for name, value in held.items() if _is_idle(value, first, last)}
            yield from (f"{place}.{name}: {_told(value, first, last)}" for name, value in idle.items())
            if key == "objective" and "soft_targets.weight" not in idle:
                yield from _never_weighed(f"{place}.soft_targets.weight", objective, first, last, spans)


def _held(learner: student.Config, spans: Sequence[Span]) -> Iterator[tuple[int, str, int, int]]:
    """Of every `data` and `objective` that the recipe has: its phase, its key, the first and last step with it."""
    for key in ("data", "objective"):
        begins = [0, *(number for number, phase in enumerate(learner.phases, 1) if getattr(phase, key) is not None)]
        for number, following in zip(begins, [*begins[1:], len(spans)], strict=True):
            yield number, key, spans[number][0], spans[following - 1][1]


def _schedules_of(data: Data) -> dict[str, Schedule]:
    return {kind: share for kind, share in shares_of(data).items() if isinstance(share, Schedule)}


def _is_idle(value: Schedule, first: int, last: int) -> bool:
    """Whether it is one number in all these steps: a schedule only rises or only falls."""
    return value.at(first) == value.at(last) and (value.start != value.end or always_zero(value))


def _told(value: Schedule, first: int, last: int) -> str:
    return (
        f"it is {value.at(first):g} in every step from {first} to {last}, in which it holds: its schedule goes from "
        f"step {value.begin} to {value.until}, counted from the beginning of the training; set begin and until between "
        "these steps, or a number in its place"
    )


def _never_weighed(key: str, objective: ObjectiveConfig, first: int, last: int, spans: Sequence[Span]) -> Iterator[str]:
    """Soft targets are asked for where there are none."""
    if not isinstance(objective.soft_targets.weight, Schedule):
        return
    parts = [span for span in spans if first <= span[0] and span[1] <= last]
    if not any(learns_soft_targets(data, objective, begin, end) for begin, end, data, _ in parts):
        yield (
            f"{key}: in every step from {first} to {last}, it is 0 or there is no data = 'hypothesis', which alone "
            "has soft targets; set its begin and until to steps with such data, or the weight to 0"
        )
