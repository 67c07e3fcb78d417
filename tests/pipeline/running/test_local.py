"""A machine that is busy: worker processes that start late, do not come back, or are killed as they start."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dask
import pytest

from data.errors import PotstillError
from pipeline.planning.scope import open_planner
from pipeline.running.cluster import Cluster, connect
from pipeline.running.lane import Lane
from pipeline.running.runner import Runner
from pipeline.running.stopping import Stopped, stoppable
from pipeline.running.worker import MOST_OF_A_CAUSE, TaskError
from pipeline.terminal.progress import PlainDisplay
from tests.fixtures.waiting import wait_until
from tests.pipeline.conftest import ReadToy

pytestmark = pytest.mark.slow
# Of what would take for ever, or a minute at least, if it went wrong.
BOUND = 30.0


def forget(cluster: Cluster, resource: str) -> None:
    """What Dask does with a worker that has not come back in time: it is closed, and nobody starts it again."""
    own = cluster.client.cluster
    for name, nanny in list(own.workers.items()):
        if resource in nanny.resources:
            own.sync(nanny.close)
            del own.workers[name]


@pytest.mark.parametrize("resource", ["ordinary", "model"])
def test_processes_that_dask_forgot_are_told_of_and_started_anew(
    read_toy: ReadToy, monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    monkeypatch.setattr("pipeline.running.runner.WATCH_SECONDS", 0.3)
    recipe = read_toy()
    lines: list[str] = []
    with connect(None, 2, (), dashboard=False) as cluster:
        there = cluster.offers()
        forget(cluster, resource)
        # The scheduler hears of it a moment later.
        wait_until(lambda: cluster.missing() == {"ordinary": 2, "model": 1}[resource])
        planner = open_planner(recipe)
        runner = Runner(cluster, planner, PlainDisplay(lines.append), retries=0, shards_in_flight=2)
        if resource == "ordinary":
            # No worker is left that may take any of it; the one with a model is.
            runner.run(recipe.graph, planner.plan(recipe.graph))
            assert any("waiting: no worker is there that may take corpus" in line for line in lines), lines
        else:
            while not any(line.startswith("waiting for 1 of this machine's worker processes") for line in lines):
                runner.turn()
        wait_until(lambda: len(cluster.offers()) == len(there))
        assert sorted(map(sorted, cluster.offers())) == sorted(map(sorted, there))


@dataclass
class Starts:
    """How worker processes start. `slow()`: each waits for a minute first. `deaths(n)`: the next n are killed."""

    folder: Path

    def slow(self) -> None:
        (self.folder / "slow").touch()

    def deaths(self, count: int) -> None:
        for number in range(count):
            (self.folder / f"death-{number}").touch()

    def waiting(self) -> int:
        return len(list(self.folder.glob("waits-*")))


# Python runs it as the first thing in a process.
AT_THE_START = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(__file__).parent
if "multiprocessing.spawn" in " ".join(sys.orig_argv):
    for death in folder.glob("death-*"):
        try:
            death.unlink()
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
    if (folder / "slow").exists():
        (folder / f"waits-{os.getpid()}").touch()
        time.sleep(60)
"""


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starts:
    (tmp_path / "sitecustomize.py").write_text(AT_THE_START)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Starts(tmp_path)


def kill_all(cluster: Cluster) -> None:
    """As when memory runs out: Dask starts them anew."""
    for process in cluster.client.run(os.getpid).values():
        os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("gone", [kill_all, partial(forget, resource="ordinary")])
def test_ending_does_not_wait_for_a_process_that_starts(starts: Starts, gone: Callable[[Cluster], None]) -> None:
    with pytest.raises(KeyboardInterrupt), connect(None, 2, (), dashboard=False) as cluster:
        starts.slow()
        gone(cluster)
        cluster.restore()
        wait_until(lambda: starts.waiting() >= 2)
        started = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - started < BOUND


def test_ending_while_the_cluster_starts_does_not_wait_for_it(starts: Starts) -> None:
    stopped_at = []

    def stop() -> None:
        wait_until(lambda: starts.waiting() == 3)
        stopped_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    starts.slow()
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Stopped), stoppable(), connect(None, 2, (), dashboard=False):
        pass
    assert time.monotonic() - stopped_at[0] < BOUND
    thread.join()


def test_a_cluster_whose_processes_die_as_they_start_has_them_started_again(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    starts.deaths(2)
    with connect(None, 1, (), dashboard=False) as cluster:
        assert cluster.client.submit(sum, [1, 2]).result() == 3
    told = [message for message in caplog.messages if "died as it started" in message]
    assert told == [f"a worker process died as it started; try {number} of 3" for number in (1, 2)]


def test_after_three_tries_it_is_told_in_words(starts: Starts) -> None:
    starts.deaths(3)
    told = "worker process of this machine died as it started, in 3 tries; .* fewer --workers"
    with pytest.raises(PotstillError, match=told), connect(None, 1, (), dashboard=False):
        pass


def test_workers_that_rest_are_told_of(read_toy: ReadToy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.running.runner.WATCH_SECONDS", 0.1)
    recipe = read_toy()
    lines: list[str] = []
    # Any process has more than that of the memory, and so rests until the end.
    little = dask.config.set({"distributed.worker.memory.pause": 1e-9})
    with little, connect(None, 1, (), dashboard=False) as cluster:
        wait_until(cluster.resting)
        planner = open_planner(recipe)
        runner = Runner(cluster, planner, PlainDisplay(lines.append), retries=0, shards_in_flight=2)
        runner.begin(Lane(recipe.graph, {}))
        told = "waiting: no worker is there that may take corpus; 1 take nothing while they have most of the memory"
        while not any(line.startswith(told) for line in lines):
            runner.turn()


def fail_at_length(mark: str) -> None:
    raise TaskError(mark * 50_000, "trace\n" * 50_000, retryable=True)


@pytest.mark.parametrize("mark", ["x", "\0", "ü"])
def test_an_error_of_any_length_comes_back_as_what_it_was(cluster: Cluster, mark: str) -> None:
    error = cluster.client.submit(fail_at_length, mark, pure=False).exception()
    assert isinstance(error, TaskError)
    assert error.retryable
    assert len(error.cause) < MOST_OF_A_CAUSE + 50
    assert "49,000 characters left out" in error.cause
    assert error.trace.endswith("trace\n")
