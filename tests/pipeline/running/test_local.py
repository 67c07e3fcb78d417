"""A machine that is busy: worker processes that start late, do not come back, or are killed as they start."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import PotstillError
from pipeline.planning.scope import open_planner
from pipeline.running.cluster import Cluster, connect
from pipeline.running.runner import Runner
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
        assert cluster.missing() == {"ordinary": 2, "model": 1}[resource]
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


def test_ending_does_not_wait_for_a_process_that_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    (tmp_path / "sitecustomize.py").write_text(f"import os, time\ntime.sleep(60 * os.path.exists({str(slow)!r}))\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), connect(None, 2, (), dashboard=False) as cluster:
        slow.touch()
        for process in cluster.client.run(os.getpid).values():
            os.kill(process, signal.SIGKILL)
        wait_until(lambda: not cluster.client.nthreads())
        started = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - started < BOUND


def failing(times: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """A stand-in for LocalCluster whose first processes are killed as they start."""
    left = [times]

    def start(*arguments: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("Nanny failed to start.")
        return real(*arguments, **options)

    return start


def test_a_cluster_whose_processes_die_as_they_start_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr(distributed, "LocalCluster", failing(2, distributed.LocalCluster))
    with connect(None, 1, (), dashboard=False) as cluster:
        assert cluster.client.submit(sum, [1, 2]).result() == 3


def test_after_three_tries_it_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr(distributed, "LocalCluster", failing(3, distributed.LocalCluster))
    told = r"did not start \(Nanny failed to start.\), in 3 tries; .* fewer --workers"
    with pytest.raises(PotstillError, match=told), connect(None, 1, (), dashboard=False):
        pass


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
