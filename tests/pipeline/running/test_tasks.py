"""A shard stage's run over futures that the test ends, without a cluster."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.planning.plan import Step
from pipeline.planning.scope import open_planner
from pipeline.running.runner import make_job
from pipeline.running.tasks import ShardRun
from pipeline.running.worker import TaskError, close_shards
from pipeline.terminal.progress import PlainDisplay
from tests.pipeline.conftest import ReadToy
from tests.pipeline.toy import corpus


class Ended:
    """A future that has ended."""

    status = "finished"

    def __init__(self, call: Callable[[], Any]) -> None:
        self._error: Exception | None = None
        try:
            self._result = call()
        except TaskError as error:
            self._error = error

    def exception(self) -> Exception | None:
        return self._error

    def result(self) -> Any:
        return self._result


def shout_step(read_toy: ReadToy) -> Step:
    """`shout` over a corpus of two shards."""
    recipe = read_toy("corpus.rows=10")
    planner = open_planner(recipe)
    first = planner.step(recipe.graph["corpus"], {})
    assert first.artifact and first.identity
    for shard in range(2):
        first.artifact.write_shard(f"train-{shard:05}", corpus.make_table([f"row {shard}"]))
    first.artifact.complete(**vars(first.identity))
    return planner.step(recipe.graph["shout"], {"corpus": planner.step(recipe.graph["corpus"], {})})


@pytest.fixture
def run(read_toy: ReadToy) -> Callable[..., tuple[ShardRun, list[str]]]:
    """Runs `shout` over a corpus of two shards here; `close` stands in for `close_shards`."""
    step = shout_step(read_toy)

    def to_its_end(close: Callable[..., None]) -> tuple[ShardRun, list[str]]:
        lines: list[str] = []
        display = PlainDisplay(lines.append)
        ended: list[Any] = []

        def submit(function: Any, *arguments: Any) -> Any:
            task = close if function is close_shards else function
            ended.append(Ended(lambda: task(*arguments)))
            return ended[-1]

        going = ShardRun(step, make_job(step, 1), submit, retries=2, slots=2, first_pause=0.0)
        display.start("shout", 0, None)
        while not going.ended:
            going.fill(4)
            going.take(ended.pop(), display)
        return going, lines

    return to_its_end


@pytest.mark.parametrize("times", [2, 3])
def test_the_manifest_is_tried_again_as_shards_are(run: Callable[..., tuple[ShardRun, list[str]]], times: int) -> None:
    calls: list[int] = []

    def close(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) <= times:
            raise TaskError("the store cannot be reached; try again", "", retryable=True)
        close_shards(*arguments)

    going, lines = run(close)
    told = "stage shout: the store cannot be reached; try again"
    assert lines[1:] == [*(f"{told}; trying again in 0 s ({n} of 2)" for n in (1, 2)), *([told] if times == 3 else [])]
    assert [str(failure) for failure in going.failures] == ([told] if times == 3 else [])
    assert going.step.artifact
    assert going.step.artifact.is_complete() == (times == 2)


def test_a_shard_that_failed_is_paused_longer_each_time(read_toy: ReadToy) -> None:
    now, submitted = [0.0], []
    step = shout_step(read_toy)

    def submit(function: Any, *arguments: Any) -> Any:
        ended = Ended(lambda: fail() if arguments[1] == "train-00000" else function(*arguments))
        submitted.append((now[0], arguments[1]))
        waiting.append(ended)
        return ended

    def fail() -> None:
        raise TaskError("the machine hiccuped", "", retryable=True)

    waiting: list[Any] = []
    display = PlainDisplay(lambda line: None)
    display.start("shout", 0, None)
    going = ShardRun(step, make_job(step, 1), submit, retries=3, slots=2, first_pause=20.0, clock=lambda: now[0])
    for _ in range(200):
        going.fill(1)
        if going.ended:
            break
        if waiting:
            going.take(waiting.pop(), display)
        else:
            pause = going.pause()
            assert pause is not None
            now[0] += pause
    assert [when for when, shard in submitted if shard == "train-00000"] == [0, 20, 60, 120]
    # The other was not kept waiting.
    assert [when for when, shard in submitted if shard == "train-00001"] == [0]
    assert [failure.cause for failure in going.failures] == ["the machine hiccuped"]
