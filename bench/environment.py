"""What decides how fast libraries compute before any of our code runs: a process's environment."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipeline.running.local import worker_environment

# Dask tells of every connection; of a benchmark the figures are read.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "error"}
_OF_SPEED = ("OMP_", "MKL_", "OPENBLAS_", "GOMP_", "MALLOC_", "CT2_")


def become_worker(module: str) -> None:
    """Starts a module with its arguments anew as a worker process of a run starts, unless this process is one.

    The C library and CTranslate2 look at their variables once, so nothing less than a new process has them.
    """
    os.environ.update(_QUIET)
    wanted = of_worker()
    if wanted.items() <= os.environ.items():
        return
    os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | wanted)  # noqa: S606


def plain() -> dict[str, str]:
    """This environment without all that, as when a script is started by hand."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_SPEED)}


def of_worker() -> dict[str, str]:
    """What a worker gets on this machine, whatever this process has got itself."""
    with environment({}):
        return worker_environment()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The plain environment and these variables, for processes that are started meanwhile."""
    before = dict(os.environ)
    _set(plain() | dict(variables))
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
