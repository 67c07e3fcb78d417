"""Timing against a clock that the test turns."""

from collections.abc import Callable

import pytest

from stages.evaluate.machine import describe_machine
from stages.evaluate.speed import time_systems


def test_systems_take_turns_and_the_median_counts() -> None:
    now, calls, done = [0.0], [], []
    durations = {"teacher": iter([9.0, 2.0, 4.0, 100.0]), "student": iter([9.0, 0.5, 0.25, 0.125])}

    def system(name: str) -> Callable[[], int]:
        def translate() -> int:
            calls.append(name)
            now[0] += next(durations[name])
            return 30

        return translate

    timings = time_systems(
        {name: system(name) for name in durations},
        sentences=10,
        repeats=3,
        done=done.append,
        clock=lambda: now[0],
    )
    assert calls == ["teacher", "student"] * 4
    assert done == list(range(1, 9))
    assert timings["teacher"].seconds == (2.0, 4.0, 100.0)  # the warm-up is not among them
    assert timings["teacher"].sentences_per_second == pytest.approx(10 / 4.0)
    assert timings["student"].tokens_per_second == pytest.approx(30 / 0.25)
    assert timings["teacher"].sentences_per_second_range == pytest.approx((10 / 100.0, 10 / 2.0))


def test_the_machine_is_described() -> None:
    machine = describe_machine("cpu")
    assert machine["cores"] >= 1
    assert machine["memory_bytes"] > 2**28
    assert machine["processor"]
    assert "gpu" not in machine
