"""Numbers of a recipe that may change while a model trains: weights, temperatures, shares of the data."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class Schedule(BaseModel):
    """A number as a function of the step, steps counted from 1: `start` up to `begin`, `end` from `until` on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start: float = Field(description="the value up to the step `begin`")
    end: float = Field(description="the value from the step `until` on")
    course: Literal["linear", "cosine", "step"] = Field(
        "linear", description="in between: a line, half a cosine wave, or `start` until `until` is reached"
    )
    begin: int = Field(0, description="last step with the value `start`", ge=0)
    until: int = Field(description="first step with the value `end`", ge=1)

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.until <= self.begin:
            raise ValueError(f"until {self.until} must be larger than begin {self.begin}")
        return self

    def at(self, step: int) -> float:
        """The value in this step."""
        if step >= self.until:
            return self.end
        if step <= self.begin or self.course == "step":
            return self.start
        part = (step - self.begin) / (self.until - self.begin)
        if self.course == "cosine":
            part = (1 - math.cos(math.pi * part)) / 2
        return self.start + (self.end - self.start) * part


Value = FiniteFloat | Schedule


def value_at(value: Value, step: int) -> float:
    """The number, or the schedule's value in this step."""
    return value.at(step) if isinstance(value, Schedule) else value


def ends(value: Value) -> tuple[float, float]:
    """Between which a value stays; a number is both."""
    return (value.start, value.end) if isinstance(value, Schedule) else (value, value)


def scaled(value: Value, factor: float) -> Value:
    """A value times a number, in every step."""
    if isinstance(value, Schedule):
        return value.model_copy(update={"start": value.start * factor, "end": value.end * factor})
    return value * factor


def turns(values: Iterable[Value], first: int, last: int) -> list[int]:
    """Steps from `first` to `last` of which one has every set of zeros that some step has.

    A value is 0 up to where it rises, or from where it has sunk, or in all steps.
    """
    changes = [step for each in values if isinstance(each, Schedule) for step in (each.begin + 1, each.until)]
    return sorted({first, *(step for step in changes if first <= step <= last)})


def always_zero(value: Value) -> bool:
    """Whether the value is 0 in every step."""
    return ends(value) == (0, 0)


def _non_negative(value: Value) -> Value:
    if min(ends(value)) < 0:
        raise ValueError(f"must be at least 0 in every step, found {min(ends(value))}")
    return value


def _positive(value: Value) -> Value:
    if min(ends(value)) <= 0:
        raise ValueError(f"must be greater than 0 in every step, found {min(ends(value))}")
    return value


NonNegative = Annotated[Value, AfterValidator(_non_negative)]
Positive = Annotated[Value, AfterValidator(_positive)]
