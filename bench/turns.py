"""Contenders by turns, round after round, until the figure stands: a machine may be shared, and its speed may drift.

What slows the machine down slows all contenders of a round, so what is looked at are the ratios within rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# A figure stands when its standard error is no more than this share of it.
STEADY = 0.025
# So many times the rounds that were asked for, at most.
MOST = 3
# Of a normal distribution: quartiles lie so many standard deviations apart; and a median's error over a mean's.
_QUARTILES, _MEDIAN = 1.349, 1.2533


class UnsteadyError(Exception):
    """No steady figure could be had; nothing is written."""


@dataclass
class Turns:
    """Seconds by the clock, and of the processor, of every contender in every round."""

    clock: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, other: str) -> float:
        """How many times as long `name` takes as `other`: the median over the rounds."""
        return statistics.median(_ratios(self.clock[name], self.clock[other]))

    def spread(self, name: str, other: str) -> float:
        """The standard error of that ratio, as a share of it."""
        return relative_error(_ratios(self.clock[name], self.clock[other]))

    def worst(self) -> tuple[str, float]:
        """The contender whose ratio to the first is the least certain, and how uncertain it is."""
        first, *others = self.clock
        spreads = {name: self.spread(name, first) for name in others} or {first: relative_error(self.clock[first])}
        name = max(spreads, key=lambda each: spreads[each])
        return name, spreads[name]

    def detail(self) -> dict[str, Any]:
        """For a record."""
        first, *others = self.clock
        return {
            "seconds": _rounded(self.clock),
            "processor_seconds": _rounded(self.processor),
            "spread": {name: round(self.spread(name, first), 4) for name in others},
        }


def relative_error(values: Sequence[float]) -> float:
    """The standard error of the median as a share of it, by the distance of the quartiles; 0 of a single value."""
    middle = statistics.median(values)
    if len(values) < 2 or not middle:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return float(_MEDIAN * (high - low) / _QUARTILES / len(values) ** 0.5 / abs(middle))


def by_turns(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> Turns:
    """Every contender once a round: `rounds` of them, and more until the ratios to the first one stand.

    A contender that returns a float has measured itself: that is taken in place of the clock's time. A single round is
    a look, and need not stand. Raises UnsteadyError when `MOST` times the rounds were not enough.
    """
    turns = Turns({name: [] for name in contenders}, {name: [] for name in contenders})
    for number in range(1, MOST * rounds + 1):
        for name, call in contenders.items():
            used, started = processor_seconds(), time.perf_counter()
            own = call()
            seconds = time.perf_counter() - started
            turns.clock[name].append(own if isinstance(own, float) else seconds)
            turns.processor[name].append(processor_seconds() - used)
        _tell(turns, number, MOST * rounds)
        if number >= rounds and (rounds == 1 or turns.worst()[1] <= STEADY):
            return turns
    raise _unsteady(*turns.worst(), MOST * rounds)


def until_steady(name: str, call: Callable[[], float], rounds: int) -> list[float]:
    """A figure of its own, again and again until its median stands; likewise."""
    values: list[float] = []
    for number in range(1, MOST * rounds + 1):
        values.append(call())
        error = relative_error(values)
        _say(f"round {number}, of {MOST * rounds} at most: {name} {values[-1]:.4g}, uncertain by {error:.1%}")
        if number >= rounds and (rounds == 1 or error <= STEADY):
            return values
    raise _unsteady(name, relative_error(values), len(values))


def processor_seconds() -> float:
    """Of this process and all below it, those that have ended included."""
    import psutil  # type: ignore[import-untyped]

    return sum(_used(process) for process in _tree(psutil.Process()))


def _tell(turns: Turns, number: int, most: int) -> None:
    """A line a round: a suite takes minutes."""
    last = ", ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in turns.clock.items())
    name, error = turns.worst()
    _say(f"round {number}, of {most} at most: {last}; {name} uncertain by {error:.1%}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tree(process: Any) -> Iterator[Any]:
    yield process
    yield from process.children(recursive=True)


def _used(process: Any) -> float:
    import psutil

    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended just now, and its parent has its seconds
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _unsteady(name: str, error: float, rounds: int) -> UnsteadyError:
    return UnsteadyError(
        f"{name}: after {rounds} rounds its ratio is still uncertain by {error:.1%}, and {STEADY:.1%} is asked for; "
        "something else is at work on this machine: end it, and measure again"
    )


def _ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [value / other for value, other in zip(values, others, strict=True)]


def _rounded(seconds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [round(one, 6) for one in values] for name, values in seconds.items()}
