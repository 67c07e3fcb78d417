"""What runs inside a worker process: one shard, one whole stage, or the closing of an artefact.

Costly resources are loaded once a process and kept for the stage in hand.
"""

import importlib
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from data.errors import ConfigError, DataError, PotstillError, StorageError
from data.fingerprint import library_versions
from data.join import join, join_by_role
from data.local import user_cache
from data.runtime import Progress, Runtime, Validated
from data.schema import NOTES_KEY
from data.store import Artifact, ShardRecord
from pipeline.planning.plan import Identity, external_digests, open_digest_cache
from pipeline.recipe.graph import reads_of, resources_of
from pipeline.running.stopwatch import Stopwatch

TOPIC = "potstill"
# So many stages at most have their models in a worker's memory: one in hand and one that ends, or those of several
# teachers, who decode at the same time.
KEPT_RESOURCES = 4
REPORT_SECONDS = 0.5
# Characters of an error that travel.
MOST_OF_A_CAUSE, MOST_OF_A_TRACE = 1000, 4000


@dataclass(frozen=True)
class Job:
    """A stage as it travels to a worker: names and paths, no data."""

    module: str
    config: BaseModel
    identity: Identity
    inputs: Mapping[str, Artifact]
    output: Artifact
    # Paths in a config are relative to it.
    folder: str
    threads: int = 1
    # Digests of what it reads outside the store, as they were when it was planned.
    outside: Mapping[str, str] | None = None


class TaskError(Exception):
    """Why a task failed, in words alone and few of them, so that it travels whatever the error was made of.

    Dask replaces an error whose text is longer than it likes by a plain one, which nobody tries again.
    """

    def __init__(self, cause: str, trace: str, retryable: bool) -> None:
        self.cause = _shortened(cause, MOST_OF_A_CAUSE)
        self.trace = _shortened(trace, MOST_OF_A_TRACE)
        self.retryable = retryable
        super().__init__(self.cause, self.trace, retryable)

    def __str__(self) -> str:
        return self.cause


class TaskStoppedError(TaskError):
    """A whole stage ended because it was asked to: nothing is wrong, and what it has is kept for another run."""


def run_shard(job: Job, shard: str) -> ShardRecord:
    """Reads one shard of every input, runs the stage on it, checks and writes it; raises TaskError."""
    with _told(job, shard), _in_folder(job.folder):
        stage = _stage(job)
        resources = _resources(job)
        reads = reads_of(stage, job.config)
        tables = {name: job.inputs[name].read_shard(shard, _with_id(columns)) for name, columns in reads.items()}
        table = join_by_role(tables) if hasattr(stage, "reads") else join(list(tables.values()))
        result = check_result(table, stage.run(table, job.config, resources), stage.SCHEMA)
        counters = stage.count(result) if hasattr(stage, "count") else {}
        return job.output.write_shard(shard, without_notes(result), counters)


def load_resources(job: Job) -> None:
    """Loads what a shard stage needs, ahead of its first shard; raises TaskError."""
    with _told(job), _in_folder(job.folder):
        _resources(job)


def run_whole(job: Job) -> None:
    """Runs a whole stage and closes its artefact; raises TaskError, TaskStoppedError when `stop` was called for it.

    Dask repeats a task whose worker died before it told of its end: what is complete then stays as it is.
    """
    with _told(job), _in_folder(job.folder):
        if job.output.is_complete():
            return
        _cache().clear()
        _stops().discard(name_of(job.output))
        stage = _stage(job)
        watch = Stopwatch(job.output)
        runtime = Runtime(job.threads, device(), _reporter(job.output, watch), _listener(job.output))
        metrics = stage.run(job.inputs, job.config, job.output, runtime)
        _check_outside(job, stage)
        job.output.complete(**asdict(job.identity), metrics=metrics, seconds=watch.seconds)


def close_shards(job: Job, shards: Sequence[str], seconds: float) -> None:
    """Writes the manifest of a shard stage whose `shards` are all there; raises TaskError."""
    with _told(job), _in_folder(job.folder):
        _check_outside(job, importlib.import_module(job.module))
        job.output.complete(**asdict(job.identity), seconds=seconds, expected=shards)


def stop(name: str) -> None:
    """Asks the whole stage that makes the artefact of this name to end; it does when it next tells how far it is."""
    _stops().add(name)


def release(node: str) -> None:
    """Drops the resources of a stage that has ended from this process."""
    _cache().drop(node)


def name_of(artifact: Artifact) -> str:
    """Its folder's name, by which events say what they are about."""
    return f"{artifact.node}-{artifact.fingerprint}"


def check_result(table: pa.Table, result: pa.Table, schema: pa.Schema) -> pa.Table:
    """The result with the schema's comments on its columns; DataError when the stage broke its contract."""
    if not result.schema.equals(schema, check_metadata=False):
        raise DataError(f"the stage returned the columns {_names(result.schema)}; expected {_names(schema)}")
    if not result.column("id").equals(table.column("id")):
        raise DataError(f"the stage returned other ids than it was given: {result.num_rows} for {table.num_rows} rows")
    for field in schema:
        if not field.nullable and (nulls := result.column(field.name).null_count):
            raise DataError(f"column {field.name} of the stage's result has {nulls} nulls; expected none")
    return result.cast(schema.with_metadata(result.schema.metadata))


def without_notes(table: pa.Table) -> pa.Table:
    """The table without what its stage noted for `count`: a shard's bytes do not tell how its making went."""
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != NOTES_KEY}
    return table.replace_schema_metadata(metadata or None)


@lru_cache(maxsize=1)
def device() -> str:
    """`cuda` where there is a usable GPU. Imports torch only on a machine that has a device file of one."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Python's and the libraries' versions in this process: they must be the same wherever a stage runs."""
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **library_versions(libraries)}


class ResourceCache:
    """Loaded resources of the last few stages, by node and fingerprint. Tasks of one process share them."""

    def __init__(self, size: int = KEPT_RESOURCES) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def get(self, job: Job) -> Any:
        """The stage's resources, loaded when this process does not have them yet."""
        key = name_of(job.output)
        with self._lock:
            if key not in self._kept:
                while len(self._kept) >= self._size:
                    self._kept.popitem(last=False)
                stage = importlib.import_module(job.module)
                artifacts = {name: job.inputs[name] for name in resources_of(stage, job.config)}
                self._kept[key] = stage.load(job.config, artifacts, Runtime(job.threads, device()))
            self._kept.move_to_end(key)
            return self._kept[key]

    def drop(self, node: str) -> None:
        """Forgets what was loaded for a node."""
        with self._lock:
            for key in [key for key in self._kept if key.rpartition("-")[0] == node]:
                del self._kept[key]

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._kept.clear()


@lru_cache(maxsize=1)
def _cache() -> ResourceCache:
    return ResourceCache()


@lru_cache(maxsize=1)
def _stops() -> set[str]:
    """Names of artefacts whose making was asked to end, in this process."""
    return set()


def _stage(job: Job) -> ModuleType:
    """The job's module; raises PotstillError when this process has other code or libraries than the one that planned.

    Workers may join at any time, so what was found of those that were there at the beginning is not enough.
    """
    stage = importlib.import_module(job.module)
    if job.identity.version != stage.VERSION:
        raise PotstillError(
            f"this worker has version {stage.VERSION} of the stage {job.identity.stage}, and the run was planned with "
            f"{job.identity.version}: install the same Potstill on all machines, and start the workers anew"
        )
    planned, here = job.identity.libraries, _installed(tuple(job.identity.libraries))
    others = [f"{name} {here[name]}, not {version}" for name, version in planned.items() if here[name] != version]
    if others:
        raise PotstillError(
            f"this worker has {'; '.join(others)}, with which the stage {job.identity.stage} was planned: install the "
            "same versions on all machines, and start the workers anew"
        )
    return stage


@lru_cache(maxsize=64)
def _installed(libraries: tuple[str, ...]) -> dict[str, str]:
    return library_versions(libraries)


def _check_outside(job: Job, stage: ModuleType) -> None:
    """Raises DataError when a file was changed while the stage read it: what came of it belongs to neither content."""
    if not job.outside:
        return
    now = external_digests(stage, job.config, open_digest_cache())
    if changed := sorted(name for name in {*now, *job.outside} if now.get(name) != job.outside.get(name)):
        job.output.discard_shards()
        raise DataError(
            f"{', '.join(changed)}: changed while the stage {job.identity.stage} was reading; run again once it stays "
            "as it is"
        )


def _resources(job: Job) -> Any:
    return _cache().get(job)


def _with_id(columns: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(["id", *columns]))


def _names(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in schema)


@contextmanager
def _told(job: Job, shard: str = "") -> Iterator[None]:
    """Any error inside becomes a TaskError: our own in its words, others with their type's name."""
    try:
        yield
    except TaskStoppedError:
        raise
    except ConfigError as error:
        raise TaskError("; ".join(error.faults), _trace(job, shard), retryable=False) from None
    except PotstillError as error:
        raise TaskError(str(error), _trace(job, shard), retryable=isinstance(error, StorageError)) from None
    except Exception as error:
        raise TaskError(f"{type(error).__name__}: {error}", _trace(job, shard), retryable=True) from None


def _trace(job: Job, shard: str) -> str:
    """The traceback of what is being handled; one that is too long to travel begins with where it lies whole."""
    trace = traceback.format_exc()
    if len(trace) <= MOST_OF_A_TRACE:
        return trace
    place = user_cache() / "traces" / f"{name_of(job.output)}{shard and '-'}{shard}.txt"
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(trace, encoding="utf-8", errors="replace")
        return f"whole in {place}:\n{trace}"
    return trace


def _shortened(text: str, most: int) -> str:
    """A text without its middle, where it is longer than `most`."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} [{len(text) - most:,} characters left out] {text[-(most // 2) :]}"


@contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Makes the folder current when this machine has it. A worker serves one run, so it stays so."""
    if Path(folder).is_dir() and Path.cwd() != Path(folder):
        os.chdir(folder)
    yield


def _reporter(output: Artifact, watch: Stopwatch) -> Progress:
    """A `Progress` that tells the client through the scheduler, twice a second at most."""
    from distributed import get_worker

    worker, name = get_worker(), name_of(output)
    key, last = worker.get_current_task(), [0.0]

    def report(done: int, total: int | None, extras: Mapping[str, float]) -> None:
        _end_if_asked(name)
        _end_if_nobody_waits(worker, key)
        watch.tick()
        now = time.monotonic()
        if now - last[0] >= REPORT_SECONDS or done == total:
            last[0] = now
            worker.log_event(TOPIC, {"artefact": name, "done": done, "total": total, "extras": dict(extras)})

    return report


def _listener(output: Artifact) -> Validated:
    """A `Validated` that tells the client of each validation."""
    from distributed import get_worker

    worker, name = get_worker(), name_of(output)

    def validated(step: int, figures: Mapping[str, float]) -> None:
        worker.log_event(TOPIC, {"artefact": name, "step": step, "figures": dict(figures)})
        _end_if_asked(name)

    return validated


def _end_if_nobody_waits(worker: Any, key: str) -> None:
    """Its client has gone, perhaps killed: Dask stops no task that runs, and another run may begin the same one."""
    task = worker.state.tasks.get(key)
    if task is None or task.state == "cancelled":
        raise TaskStoppedError("nobody waits for it any more; what it has is kept", "", retryable=False)


def _end_if_asked(name: str) -> None:
    if name in _stops():
        _stops().discard(name)
        raise TaskStoppedError("it was asked to stop; what it has is kept", "", retryable=False)
