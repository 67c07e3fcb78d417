"""The time left of a run, with a clock of our own: told late rather than wrong."""

import random
from collections.abc import Mapping

import pytest

from pipeline.terminal.remaining import Ahead, Remaining


def chain(**stages: Ahead) -> dict[str, Ahead]:
    return stages


def played(
    ahead: Mapping[str, Ahead], truth: Mapping[str, tuple[float, int]], noise: float = 0.0
) -> list[tuple[float, float]]:
    """What is told and what is true, of every moment at which something is told, in order.

    `truth`: of each stage its seconds and how many even reports it makes; a tenth of its time passes before the first.
    """
    draw = random.Random(3)  # noqa: S311
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    events: list[tuple[float, str, int]] = []
    for name, stage in ahead.items():
        begins[name] = max((ends[other] for other in stage.after), default=0.0)
        seconds, reports = truth[name]
        ends[name] = begins[name] + seconds
        steps = [seconds * 0.9 / (reports or 1) * (1 + draw.uniform(-noise, noise)) for _ in range(reports)]
        scale = seconds * 0.9 / sum(steps) if steps else 0.0
        moment = begins[name] + seconds * 0.1
        events.append((begins[name], name, -1))
        for number, step in enumerate(steps):
            moment += step * scale
            events.append((min(moment, ends[name] - 1e-6), name, number + 1))
        events.append((ends[name], name, -2))
    left, end = Remaining(ahead), max(ends.values())
    told = []
    order = {-2: 0, -1: 1}
    for now, name, kind in sorted(events, key=lambda event: (event[0], order.get(event[2], 2))):
        if kind == -1:
            left.start(name, now)
        elif kind == -2:
            left.finish(name, now)
        else:
            left.update(name, kind, truth[name][1], now)
        if now < end and (seconds := left.seconds(now)) is not None:
            told.append((seconds, end - now))
    return told


DEMO = {
    "corpus": Ahead(seconds=8),
    "decode": Ahead(("corpus",), 12, steady=True),
    "score": Ahead(("decode",), 9, steady=True),
    "student": Ahead(("score",), 60, steady=True),
    "baseline": Ahead(("corpus", "score"), 60, steady=True),
    "export": Ahead(("student",), 3),
    "export_baseline": Ahead(("baseline",), 3),
    "evaluate": Ahead(("export", "export_baseline"), 12),
    "report": Ahead(("evaluate",), 4),
}


def slower(training: float, decoding: float) -> dict[str, tuple[float, int]]:
    factors = {"decode": decoding, "score": decoding, "evaluate": decoding, "student": training, "baseline": training}
    reports = {"decode": 4, "score": 4, "student": 60, "baseline": 60, "evaluate": 20}
    return {
        name: (float(stage.seconds or 0) * factors.get(name, 2.0), reports.get(name, 0)) for name, stage in DEMO.items()
    }


@pytest.mark.parametrize(("training", "decoding"), [(1, 1), (3, 8), (4, 2), (10, 10), (0.5, 0.5), (1, 3)])
def test_whatever_is_told_is_near_and_it_is_told_before_the_training_is_half_over(
    training: float, decoding: float
) -> None:
    truth = slower(training, decoding)
    told = played(DEMO, truth, noise=0.3)
    assert told
    if training >= 1:
        assert told[0][1] > 0.6 * truth["student"][0]
    for seconds, true in told:
        assert true / 1.5 <= seconds <= true * 1.5 or abs(seconds - true) < 3


def test_a_stage_of_which_nothing_is_known_keeps_it_silent() -> None:
    ahead = chain(student=Ahead(steady=True), evaluate=Ahead(("student",)))
    assert played(ahead, {"student": (100, 50), "evaluate": (5, 0)}) == []


def test_the_last_stage_alone_tells_by_its_own_speed_once_that_was_seen() -> None:
    ahead = chain(corpus=Ahead(), student=Ahead(("corpus",), steady=True))
    told = played(ahead, {"corpus": (7, 0), "student": (100, 100)})
    first, true = told[0]
    assert first == pytest.approx(true, rel=0.01)
    # Ten seconds after the first report, which came after ten seconds of loading.
    assert true == pytest.approx(100 - 10.9 - 10.8, abs=2)


def test_what_was_measured_here_is_told_from_the_beginning() -> None:
    ahead = chain(
        corpus=Ahead(seconds=10, measured=True),
        student=Ahead(("corpus",), 200, measured=True, steady=True),
        baseline=Ahead(("corpus",), 100, measured=True, steady=True),
    )
    left = Remaining(ahead)
    left.start("corpus", 1.0)
    # The student and the baseline side by side.
    assert left.seconds(5.0) == pytest.approx(6 + 200)


def test_what_was_measured_elsewhere_is_told_when_little_hangs_on_it() -> None:
    ahead = chain(student=Ahead(seconds=50, steady=True), evaluate=Ahead(("student",), 10))
    truth = {"student": (150.0, 50), "evaluate": (45.0, 0)}
    told = played(ahead, truth)
    # Three times slower than expected, so that 30 seconds more are to come; in truth 45.
    assert told[0][0] == pytest.approx(told[0][1] - 15, rel=0.03)
    # Towards its end too much hangs on it.
    assert told[-1][1] > 45
