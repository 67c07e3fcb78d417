"""The Dask cluster: one of this machine's own, or a running one by its address."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError
from pipeline.recipe.graph import Node
from pipeline.running.local import MODEL, ORDINARY, cores, local_client, restore
from pipeline.running.worker import device, versions

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 15


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

    def offers(self) -> list[frozenset[str]]:
        """The resources of each worker that is there, as the scheduler knows; busy workers are not asked."""
        return [frozenset(has) for has in self.client.run_on_scheduler(_offers)]

    def missing(self) -> int:
        """Worker processes of this machine that should be there and are not; 0 for somebody else's cluster."""
        own = self.client.cluster
        return 0 if own is None else max(0, len(own.worker_spec) - len(self.client.nthreads()))

    def restore(self) -> None:
        """Starts those anew that Dask does not."""
        if self.client.cluster is not None:
            restore(self.client.cluster)


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
    if not address:
        # Without it Dask serves a page that asks for it.
        dashboard = dashboard and find_spec("bokeh") is not None
    with _running(address) if address else local_client(workers or cores(), dashboard) as client:
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
        most = _cores_of_a_machine(threads) if address else cores()
        link = client.dashboard_link if dashboard else ""
        yield Cluster(client, sum(threads.values()), most, kind, link, models)


def _resources(dask_worker: Any) -> dict[str, float]:
    """Called on a worker by Dask, which fills the argument of this name in."""
    return dict(dask_worker.state.total_resources)


def _offers(dask_scheduler: Any) -> list[dict[str, float]]:
    """Called on the scheduler by Dask, likewise."""
    return [dict(worker.resources) for worker in dask_scheduler.workers.values()]


def _cores_of_a_machine(threads: Mapping[str, int]) -> int:
    """What the largest machine has, given the threads of each worker by its address."""
    from distributed.comm import get_address_host

    machines: Counter[str] = Counter()
    for address, count in threads.items():
        machines[get_address_host(address)] += count
    return max(machines.values())


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
