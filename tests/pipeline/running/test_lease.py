"""One run at a time on a remote store: by a lock on one machine, by a lease between machines."""

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data.errors import PotstillError
from pipeline.recipe.recipe import Recipe
from pipeline.running import lease
from pipeline.running.launch import locked
from pipeline.running.stopping import Stopped, stoppable
from tests.fixtures.waiting import wait_until
from tests.pipeline.conftest import ReadToy

OnMachine = Callable[[str], None]


@pytest.fixture
def recipe(read_toy: ReadToy) -> Iterator[Recipe]:
    url = f"memory://{uuid.uuid4().hex}"
    yield read_toy(f"run.store={url}")
    if _files().exists(url):
        _files().rm(url, recursive=True)


@pytest.fixture
def on_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OnMachine:
    """What follows is done on the machine of that name."""

    def go(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        monkeypatch.setattr(socket, "gethostname", lambda: name)

    return go


def _files() -> Any:
    return fsspec.filesystem("memory")


def _note(recipe: Recipe) -> dict[str, Any]:
    return dict(json.loads(_files().cat_file(f"{recipe.run.store_url()}/.lease")))


def _overwrite(recipe: Recipe, **changes: Any) -> None:
    _files().pipe_file(f"{recipe.run.store_url()}/.lease", json.dumps(_note(recipe) | changes).encode())


def test_two_runs_of_one_machine_do_not_meet(recipe: Recipe) -> None:
    with locked(recipe), pytest.raises(PotstillError, match=r"another run is at work in memory://.*/toy; wait"):
        locked(recipe).__enter__()
    with locked(recipe):
        pass


def test_runs_of_two_machines_do_not_meet(recipe: Recipe, on_machine: OnMachine) -> None:
    on_machine("first")
    with locked(recipe):
        on_machine("second")
        told = (
            rf"at work in memory://.*/toy: process {os.getpid()} on first, heard of 0 seconds ago; .* for 300 seconds"
        )
        with pytest.raises(PotstillError, match=told):
            locked(recipe).__enter__()
        assert _note(recipe)["host"] == "first"
    on_machine("second")
    with locked(recipe):
        assert _note(recipe)["host"] == "second"
    assert not _files().exists(f"{recipe.run.store_url()}/.lease")


def test_a_killed_run_keeps_others_out_for_minutes_and_its_own_machine_not_at_all(
    recipe: Recipe, on_machine: OnMachine
) -> None:
    on_machine("first")
    with locked(recipe):
        left = _note(recipe)
    # A kill removes nothing.
    _files().pipe_file(f"{recipe.run.store_url()}/.lease", json.dumps(left).encode())
    on_machine("second")
    with pytest.raises(PotstillError, match="on first"):
        locked(recipe).__enter__()
    on_machine("first")
    with locked(recipe):
        pass
    _files().pipe_file(f"{recipe.run.store_url()}/.lease", json.dumps(left | {"renewed": time.time() - 301}).encode())
    on_machine("second")
    with locked(recipe):
        assert _note(recipe)["host"] == "second"


def test_what_is_no_lease_counts_for_nothing(recipe: Recipe) -> None:
    _files().pipe_file(f"{recipe.run.store_url()}/.lease", b'{"key": ')
    with locked(recipe):
        assert _note(recipe)["pid"] == os.getpid()


def test_a_lease_is_renewed_through_faults_of_the_store(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    with locked(recipe):
        with monkeypatch.context() as patched:
            patched.setattr(MemoryFileSystem, "info", lambda *_: (_ for _ in ()).throw(TimeoutError("slow")))
            time.sleep(0.05)
        _overwrite(recipe, renewed=0.0)
        wait_until(lambda: _note(recipe)["renewed"] > time.time() - 60)


def test_a_run_that_lost_its_lease_ends(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    with pytest.raises(Stopped) as caught, stoppable(), locked(recipe):
        _overwrite(recipe, host="other", key="another")
        wait_until(lambda: False)
    assert caught.value.number == signal.SIGINT
    assert "on other has taken memory://" in caplog.text
    assert _note(recipe)["host"] == "other"
