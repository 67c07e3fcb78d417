"""The Dask cluster: one of this machine's own, or a running one by its address."""

import logging
import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError
from pipeline.recipe.graph import Node
from pipeline.running.worker import device, versions

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 15
DASHBOARD = "127.0.0.1:8787"
CPU_FACTS = Path("/proc/cpuinfo")
# What CTranslate2's kernels of that name are made of.
_AVX512 = ("avx512f", "avx512cd", "avx512vl", "avx512bw", "avx512dq")
# How often a worker may die of a task before the task is given up.
ALLOWED_DEATHS = 2
# Dask resources, which a worker that is started anew has again. A worker with the first holds one copy of a model for
# as many shards at a time; where there is one, all else goes to those with the second.
MODEL, ORDINARY = "model", "ordinary"
# More threads of Python than this wait for one another while they read and write what the model computes.
MOST_MODEL_THREADS = 8

# How often Dask looks at itself. With its defaults, made for clusters that have cores to spare, idle processes of a
# machine with two cores took a sixth of one; with these a fiftieth. The profile page of the dashboard stays empty.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    # Moves copies of results, and ours are names of shards.
    "distributed.scheduler.active-memory-manager.start": False,
}


@dataclass(frozen=True)
class Cluster:
    """A connected cluster. `cores` is what one machine of it has: a whole stage cannot use more.

    `workers` counts the threads of ordinary workers, `models` those of each worker that holds a model for all of them.
    """

    client: "Client"
    workers: int
    cores: int
    device: str
    dashboard: str
    models: tuple[int, ...]

    def place(self, node: Node, *, threads: int) -> "Place":
        """Where the shards of a stage go. `threads`: what a call may have that is alone on its machine."""
        if self.device == "cuda" and node.resources():
            # Models of several processes would crowd each other out.
            if self.models:
                return Place(threads, sum(self.models), resources={MODEL: 1})
            return Place(threads, slots=1, workers=[min(self.client.nthreads())])
        if self.models and getattr(node.stage(), "SHARES_MODEL", False):
            # As many batches at a time as the smallest of them has threads.
            return Place(min(self.models), sum(self.models), resources={MODEL: 1})
        return self.anywhere()

    def anywhere(self) -> "Place":
        """On any worker that does not hold a model for others."""
        return Place(1, self.workers, resources={ORDINARY: 1} if self.models else None)

    def processes(self, place: "Place") -> list[str]:
        """Addresses of the workers that tasks for this place may be run by."""
        resources: dict[str, dict[str, float]] = self.client.run(_resources)
        wanted = set(place.resources or ())
        return place.workers or sorted(worker for worker, has in resources.items() if wanted <= has.keys())


@dataclass(frozen=True)
class Place:
    """Where tasks go: threads of each call or shared model, tasks at a time, and what limits them to some workers."""

    threads: int
    slots: int
    workers: list[str] | None = None
    resources: dict[str, int] | None = None


@contextmanager
def connect(
    address: str | None, workers: int | None, libraries: tuple[str, ...], *, dashboard: bool = True
) -> Iterator[Cluster]:
    """A local cluster with a process a core, or the one at `address`; raises ConfigError when it is no use."""
    with _running(address) if address else _local(workers or _cores(), dashboard) as client:
        for name in ("data", "stages", "onmt"):
            client.forward_logging(name, level=logging.INFO)
        kind = _check_workers(client, libraries)
        # Not scheduler_info(): a background task of the client empties it at times.
        threads: dict[str, int] = client.nthreads()
        resources: dict[str, dict[str, float]] = client.run(_resources)
        models = tuple(threads.pop(worker) for worker, has in resources.items() if MODEL in has)
        if models and not any(ORDINARY in has for has in resources.values()):
            raise ConfigError([
                f"--scheduler {address}: it has workers with the resource {MODEL!r} and none with {ORDINARY!r}; start "
                f'some with `dask worker {address} --nthreads 1 --resources "{ORDINARY}=1"`'
            ])  # fmt: skip
        cores = _cores_of_a_machine(threads) if address else _cores()
        link = client.dashboard_link if dashboard else ""
        yield Cluster(client, sum(threads.values()), cores, kind, link, models)


def dask_setup(worker: object) -> None:
    """Called by Dask as each local worker starts."""
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C reaches all processes of a terminal; what becomes of the workers is the client's decision.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # OpenNMT-py names torch functions by their old names; nobody who runs a recipe can change that.
    warnings.filterwarnings("ignore", category=FutureWarning, module="onmt")


def _resources(dask_worker: Any) -> dict[str, float]:
    """Called on a worker by Dask, which fills the argument of this name in."""
    return dict(dask_worker.state.total_resources)


def _cores() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def _cores_of_a_machine(threads: Mapping[str, int]) -> int:
    """What the largest machine has, given the threads of each worker by its address."""
    from distributed.comm import get_address_host

    machines: Counter[str] = Counter()
    for address, count in threads.items():
        machines[get_address_host(address)] += count
    return max(machines.values())


@contextmanager
def _local(workers: int, dashboard: bool) -> Iterator["Client"]:
    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    with (
        ExitStack() as ending,
        # The dashboard then takes another port, and the address that is shown has it.
        _silenced("Port .* is already in use"),
        dask.config.set(_local_settings()),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=DASHBOARD if dashboard else "127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": dashboard},
            silence_logs=logging.CRITICAL,
            # Any one process may take what the machine has: a training needs far more than a core's share.
            memory_limit=MEMORY_LIMIT,
            resources={ORDINARY: 1},
            preload=[__name__],
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            _add_model_workers(cluster, client, workers)
            yield client
        finally:
            ending.enter_context(_unheard("distributed.scheduler"))


def _add_model_workers(cluster: Any, client: "Client", threads: int) -> None:
    """Processes with several threads beside those with one: a decoding model is in memory, and in the caches, once.

    Two processes with a copy each took 1.2 to 1.4 times as long as two threads on one. On a GPU one process with one
    thread has all models: there one shard is worked on at a time.
    """
    if device() == "cuda":
        threads = 1
    elif threads < 2:
        return
    count = -(-threads // MOST_MODEL_THREADS)
    for number in range(count):
        own = threads // count + (number < threads % count)
        options = {**cluster.new_spec["options"], "nthreads": own, "resources": {MODEL: own}}
        cluster.worker_spec[f"{MODEL}-{number}"] = {**cluster.new_spec, "options": options}
    cluster.scale(len(cluster.worker_spec))
    client.wait_for_workers(len(cluster.worker_spec))


@contextmanager
def _silenced(message: str) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def _unheard(name: str) -> Iterator[None]:
    """Without a logger: what a worker still reports while its client leaves is no news for a terminal."""
    log = logging.getLogger(name)
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _local_settings() -> dict[str, Any]:
    return {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
        # A library that holds the interpreter's lock for minutes is at work, not dead.
        "distributed.scheduler.worker-ttl": None,
        "distributed.nanny.pre-spawn-environ": worker_environment(),
        **_QUIET,
    }


def worker_environment(cpu_facts: Path = CPU_FACTS) -> dict[str, str]:
    """Environment variables that a worker process of this machine starts with."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # With glibc's defaults, and more so with Dask's own trim threshold, a training gives its tensors' memory
        # back at every step and pays for fresh pages: a small student took two to three times as long.
        "MALLOC_MMAP_THRESHOLD_": str(128 * 2**20),
        "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
        # How long threads of a training spin for one another. With libgomp's default of 300,000 rounds, one other
        # busy process makes a step two to four times as long; with these it is as fast when left alone.
        "GOMP_SPINCOUNT": "1000",
    }
    if "CT2_FORCE_CPU_ISA" not in os.environ and _has_quick_avx512(cpu_facts):
        # CTranslate2 stops at AVX2 unless it is told; a small teacher's decoding took a tenth less time so.
        environment["CT2_FORCE_CPU_ISA"] = "AVX512"
    return environment


def _has_quick_avx512(facts: Path) -> bool:
    """Whether this is an AMD processor with AVX-512. Others may lower their clock for it: there nothing is changed."""
    try:
        words = set(facts.read_text(encoding="utf-8").split())
    except OSError:
        return False
    return {"AuthenticAMD", *_AVX512} <= words


@contextmanager
def _running(address: str) -> Iterator["Client"]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            [f"--scheduler {address}: no scheduler answers there ({error}); start one with `dask scheduler`"]
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise ConfigError(
                [f"--scheduler {address}: it has no workers; start some with `dask worker {address}`"]
            ) from None
        yield client


def _check_workers(client: "Client", libraries: tuple[str, ...]) -> str:
    """The workers' device; raises ConfigError when they would not make what the plan's fingerprints promise."""
    try:
        # It takes tasks apart to place them, so it must know our classes too.
        client.run_on_scheduler(versions, ())
    except ModuleNotFoundError as error:
        raise ConfigError([f"the scheduler: {error}; install Potstill there as it is here"]) from None
    found: dict[str, dict[str, str] | Exception] = client.run(versions, libraries, on_error="return")
    faults = list(_misfits(found, versions(libraries)))
    if faults:
        raise ConfigError(faults)
    return "cuda" if set(client.run(device).values()) == {"cuda"} else "cpu"


def _misfits(found: Mapping[str, dict[str, str] | Exception], here: Mapping[str, str]) -> Iterator[str]:
    for address, installed in found.items():
        if isinstance(installed, Exception):
            yield f"worker {address}: {installed}; install Potstill there as it is here"
            continue
        for name, version in installed.items():
            if version != here[name]:
                yield f"worker {address}: {name} {version}, but {here[name]} here; install the same version"
