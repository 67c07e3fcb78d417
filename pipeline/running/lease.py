"""The lease on a remote store: a small file there that says which run is at work, and that it still is.

An object store has no locks. Two runs that begin within the same second may both get it; one of them ends when it next
looks, and no artefact is complete without the shards that a run wrote.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from data.errors import PotstillError
from data.folder import RemoteFolder

FILE = ".lease"
RENEW_SECONDS = 30.0
# Clocks of two machines may differ by less than this without harm.
STALE_SECONDS = 300.0
_LOG = logging.getLogger(__name__)


class Holder(BaseModel):
    """Who is at work. `key` is the same for all runs of one machine on one store, of which a lock there allows one."""

    key: str
    host: str
    pid: int
    renewed: float

    def is_of(self, other: "Holder") -> bool:
        """Whether both are one run or, as one machine has one at a time, one of them was killed."""
        return (self.key, self.host) == (other.key, other.host)


@contextlib.contextmanager
def leased(folder: RemoteFolder, key: str) -> Iterator[None]:
    """Holds the lease inside; raises PotstillError when a run on another machine has it and was heard of lately.

    A run that lost it, as after a sleep of its machine, is ended as by Ctrl-C.
    """
    mine = Holder(key=key, host=socket.gethostname(), pid=os.getpid(), renewed=time.time())
    _take(folder, mine)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(folder, mine, ended), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        _give_back(folder, mine)


def _take(folder: RemoteFolder, mine: Holder) -> None:
    found = _holder(folder)
    if found and not found.is_of(mine) and (age := time.time() - found.renewed) < STALE_SECONDS:
        raise PotstillError(
            f"another run is at work in {folder.url}: process {found.pid} on {found.host}, heard of {max(age, 0):.0f} "
            f"seconds ago; wait for it or stop it; one that was killed counts for {STALE_SECONDS:.0f} seconds"
        )
    _write(folder, mine)


def _renew(folder: RemoteFolder, mine: Holder, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        try:
            found = _holder(folder)
            if found is None or found.is_of(mine):
                _write(folder, mine)
                continue
        except PotstillError as error:
            _LOG.warning("the lease could not be renewed, and will be tried again: %s", error)
            continue
        _LOG.error("process %d on %s has taken %s over; this run ends", found.pid, found.host, folder.url)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return


def _give_back(folder: RemoteFolder, mine: Holder) -> None:
    try:
        found = _holder(folder)
        if found and found.is_of(mine):
            folder.remove(FILE)
    except PotstillError as error:
        _LOG.warning("%s is left; it counts for %.0f seconds: %s", f"{folder.url}/{FILE}", STALE_SECONDS, error)


def _holder(folder: RemoteFolder) -> Holder | None:
    if folder.stamp(FILE) is None:
        return None
    try:
        return Holder.model_validate_json(folder.read(FILE))
    except ValidationError:
        return None


def _write(folder: RemoteFolder, mine: Holder) -> None:
    folder.write(FILE, mine.model_copy(update={"renewed": time.time()}).model_dump_json().encode())
