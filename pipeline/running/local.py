"""A Dask cluster of this machine's own: its processes, their settings, and what is done when some do not come up."""

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import PotstillError
from pipeline.running.worker import device

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, Nanny

logger = logging.getLogger(__name__)
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
# A busy machine may need half a minute to start a process. Dask, by default, forgets one that was gone for 15 seconds.
START_SECONDS = 600.0
# Between looks at how many have started.
LOOK_SECONDS = 15.0
START_TRIES = 3

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


@contextmanager
def local_client(workers: int, dashboard: bool) -> Iterator["Client"]:
    """A cluster with a process a core, and those that hold models; raises PotstillError when it cannot be started."""
    import dask
    from distributed import Client

    with (
        ExitStack() as ending,
        # The dashboard then takes another port, and the address that is shown has it.
        _silenced("Port .* is already in use"),
        dask.config.set(_settings()),
        _started(workers, dashboard) as cluster,
        Client(cluster) as client,
    ):
        try:
            _add_model_workers(cluster, client, workers)
            yield client
        except BaseException:
            ending.enter_context(_killing(cluster, at_once=True))
            raise
        else:
            ending.enter_context(_killing(cluster, at_once=False))
        finally:
            ending.enter_context(_unheard("distributed.scheduler"))


def restore(cluster: "LocalCluster") -> None:
    """Starts processes anew that are gone for good: Dask does so with those that died, but not when that failed."""
    from distributed import Status

    def put_back() -> None:
        for name, nanny in list(cluster.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del cluster.workers[name]
        cluster.scale(len(cluster.worker_spec))

    cluster.loop.add_callback(put_back)


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def dask_setup(worker: object) -> None:
    """Called by Dask as each local worker starts."""
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C reaches all processes of a terminal; what becomes of the workers is the client's decision.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # OpenNMT-py names torch functions by their old names; nobody who runs a recipe can change that.
    warnings.filterwarnings("ignore", category=FutureWarning, module="onmt")


def _started(workers: int, dashboard: bool) -> "LocalCluster":
    from distributed import LocalCluster
    from distributed.system import MEMORY_LIMIT

    for number in range(1, START_TRIES + 1):
        try:
            return LocalCluster(
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
            )
        except RuntimeError as error:  # a process died before it was up, or was killed
            cause = error.__cause__ or error
            logger.warning("worker processes did not start (%s); try %d of %d", cause, number, START_TRIES)
    raise PotstillError(
        f"the worker processes of this machine did not start ({cause}), in {START_TRIES} tries; memory may have run "
        "out: end other programs, or try fewer --workers"
    )


def _add_model_workers(cluster: "LocalCluster", client: "Client", threads: int) -> None:
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
    _wait_for_all(cluster, client)


def _wait_for_all(cluster: "LocalCluster", client: "Client") -> None:
    wanted, until = len(cluster.worker_spec), time.monotonic() + START_SECONDS
    while True:
        try:
            client.wait_for_workers(wanted, timeout=LOOK_SECONDS)
            return
        except TimeoutError:
            there = len(client.nthreads())
            if time.monotonic() > until:
                raise PotstillError(
                    f"{there} of {wanted} worker processes started in {START_SECONDS:.0f} s; end other programs, or "
                    "try fewer --workers"
                ) from None
            logger.warning("waiting: %d of %d worker processes have started", there, wanted)
            restore(cluster)


@contextmanager
def _killing(cluster: "LocalCluster", *, at_once: bool) -> Iterator[None]:
    """Ends processes that are just starting, or `at_once` all of them, so that closing need not wait for any.

    Whatever they were writing is whole or not there.
    """
    from distributed import Status

    def state(nanny: "Nanny") -> Any:
        return None if nanny.process is None else nanny.process.status

    nannies = [each for each in list(cluster.workers.values()) if at_once or state(each) != Status.running]
    for nanny in nannies:
        # Else it would start another one.
        nanny.status = Status.closing_gracefully
    closed = threading.Event()

    def kill() -> None:
        """Again and again: one that is about to be started has no number yet."""
        wanted = (Status.starting, Status.running)
        while not closed.wait(0.05):
            for process in [nanny.pid for nanny in nannies if nanny.pid and state(nanny) in wanted]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill, name="potstill-end", daemon=True)
    killer.start()
    try:
        yield
    finally:
        closed.set()
        killer.join()


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


def _settings() -> dict[str, Any]:
    return {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
        # A library that holds the interpreter's lock for minutes is at work, not dead.
        "distributed.scheduler.worker-ttl": None,
        "distributed.deploy.lost-worker-timeout": f"{START_SECONDS}s",
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
