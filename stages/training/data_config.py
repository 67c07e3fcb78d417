"""What a student is trained on, as a recipe says it: one kind of data, or several with their shares."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator

from stages.training.objective.config import ObjectiveConfig
from stages.training.schedules import NonNegative, Value, always_zero, turns, value_at

DataKind = Literal["hypothesis", "reference", "nbest"]
Shares = dict[DataKind, NonNegative]


def _some(shares: Shares) -> Shares:
    if all(always_zero(share) for share in shares.values()):
        raise ValueError("every share is 0: there is nothing to train on")
    return shares


Data = DataKind | Annotated[Shares, AfterValidator(_some)]


def shares_of(data: Data) -> Mapping[str, Value]:
    """The share of every kind that is used in some step; of one kind alone it is 1."""
    if isinstance(data, str):
        return {data: 1.0}
    return {kind: share for kind, share in data.items() if not always_zero(share)}


def kinds_of(data: Data) -> tuple[str, ...]:
    """The kinds that are used in some step."""
    return tuple(shares_of(data))


def step_without_data(data: Data, first: int, last: int) -> int | None:
    """A step from `first` to `last` in which every share is 0; None when there is none."""
    shares = list(shares_of(data).values())
    return next((step for step in turns(shares, first, last) if not any(value_at(each, step) for each in shares)), None)


def step_without_weight(data: Data, kind: str, objective: ObjectiveConfig, first: int, last: int) -> int | None:
    """A step from `first` to `last` in which this kind of data comes and no term weighs; None when there is none."""
    share, weights = shares_of(data)[kind], objective.weights(soft_targets=kind == "hypothesis")
    return next(
        (
            step
            for step in turns([share, *weights], first, last)
            if value_at(share, step) and not any(value_at(weight, step) for weight in weights)
        ),
        None,
    )


def learns_soft_targets(data: Data, objective: ObjectiveConfig, first: int, last: int) -> bool:
    """Whether in some step from `first` to `last` data comes that has soft targets, and they weigh something."""
    share, weight = shares_of(data).get("hypothesis", 0.0), objective.soft_targets.weight
    return any(value_at(share, step) and value_at(weight, step) for step in turns([share, weight], first, last))
