"""One call of `potstill run`: plan, and only when something is to do a cluster, the runner and its display."""

import contextlib
import fcntl
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data.errors import ConfigError, PotstillError
from data.fingerprint import bytes_digest
from data.folder import LocalFolder, open_folder
from data.local import user_cache
from pipeline.planning.plan import Planner, Step, absent_files
from pipeline.planning.scope import open_planner, select_graph
from pipeline.recipe.graph import Graph
from pipeline.recipe.recipe import Recipe
from pipeline.running.ahead import ahead_of
from pipeline.running.lease import leased
from pipeline.terminal.progress import Display


@dataclass(frozen=True)
class ClusterOptions:
    """Where to run: a scheduler's address, or so many worker processes here (None: one a core)."""

    scheduler: str | None = None
    workers: int | None = None
    dashboard: bool = True


@dataclass(frozen=True)
class Outcome:
    """Which stages were run, and where all of them stand now."""

    ran: tuple[str, ...]
    steps: Sequence[Step]

    def report(self) -> str:
        """Where the report's page is; empty when there is none."""
        urls = [step.artifact.url for step in self.steps if step.node.name == "report" and step.artifact]
        return f"{urls[0]}/index.html" if urls else ""


def run_recipe(
    recipe: Recipe,
    open_display: Callable[[], Display],
    options: ClusterOptions,
    *,
    until: str | None = None,
    only: str | None = None,
    estimated: Mapping[str, float] | None = None,
) -> Outcome:
    """Runs what is not done yet; no cluster is started when there is nothing.

    `estimated`: seconds of stages, by name, as they were estimated on this machine; for the time left.

    Raises ConfigError, DataError, and RunError once all that could be finished is finished.
    """
    graph, needed = select_graph(recipe, until, only)
    planner = open_planner(recipe)
    steps = planner.plan(needed)
    names = {node.name for node in graph.nodes}
    to_do = [step for step in steps if step.state != "done" and step.node.name in names]
    if missing := [step.node.name for step in steps if step.state != "done" and step.node.name not in names]:
        raise ConfigError([f"--only {only}: it needs {', '.join(missing)}, not done yet; try --until {only}"])
    if not to_do:
        return Outcome((), steps)
    if absent := absent_files(to_do, recipe.path):
        raise ConfigError(absent)
    with locked(recipe), contextlib.closing(open_display()) as display:
        display.expect(ahead_of(to_do, planner.store, estimated or {}, recipe.run.expected_seconds))
        _run(recipe, planner, graph, steps, display, options)
    return Outcome(tuple(step.node.name for step in to_do), planner.plan(needed))


def _run(
    recipe: Recipe, planner: Planner, graph: Graph, steps: Sequence[Step], display: Display, options: ClusterOptions
) -> None:
    # Imported here: a run with nothing to do is to end at once, and Dask takes its time.
    from pipeline.running.cluster import connect
    from pipeline.running.runner import Runner

    with connect(options.scheduler, options.workers, libraries_of(graph), dashboard=options.dashboard) as cluster:
        where = f"{cluster.workers} worker threads on {options.scheduler or 'this machine'} ({cluster.device})"
        display.note(f"{where}{'; dashboard: ' + cluster.dashboard if cluster.dashboard else ''}")
        runner = Runner(
            cluster,
            planner,
            display,
            retries=recipe.run.retries,
            retry_pause=recipe.run.retry_pause,
            shards_in_flight=recipe.run.shards_in_flight,
            recipe=recipe.graph,
        )
        runner.run(graph, steps)


def libraries_of(graph: Graph) -> tuple[str, ...]:
    """All that change results of a stage in it, sorted."""
    return tuple(sorted({name for node in graph.nodes for name in node.stage().LIBRARIES}))


@contextlib.contextmanager
def locked(recipe: Recipe) -> Iterator[None]:
    """One run at a time in a store: two would write the same unfinished files. A kill lets go of it.

    A remote store has a lock on this machine, whose cache its runs share, and a lease against other machines.
    """
    place = open_folder(recipe.run.store_url(), recipe.run.storage_options or None)
    if isinstance(place, LocalFolder):
        with _locked_file(place.root / ".lock", place.url):
            yield
        return
    lock = user_cache() / "locks" / bytes_digest(place.url.encode())[:32]
    with _locked_file(lock, place.url) as stream:
        key = stream.read() or uuid.uuid4().hex
        stream.seek(0)
        stream.write(key)
        stream.flush()
        with leased(place, key):
            yield


@contextlib.contextmanager
def _locked_file(path: Path, url: str) -> Iterator[TextIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        stream = path.open("r+")
    except OSError as error:
        raise PotstillError(f"run.store: {path.parent} cannot be written to: {error.strerror or error}") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PotstillError(f"another run is at work in {url}; wait for it or stop it") from None
        except OSError as error:
            raise PotstillError(f"run.store: {path} cannot be locked: {error.strerror or error}") from None
        yield stream
