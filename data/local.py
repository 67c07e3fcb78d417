"""Writing to a local disk so that a kill, a crash or a full disk leaves a whole file or none."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from data.errors import PotstillError, StorageError

TEMPORARY_SUFFIX = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What a network file system or an object store may get over.
_PASSING = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EREMOTEIO, errno.EPIPE,
    errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH,
}  # fmt: skip


def user_cache() -> Path:
    """Where this user keeps what belongs to the machine and not to a run."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "potstill"


def check_passing(error: OSError, where: Path | str) -> None:
    """Raises StorageError for a fault that may be gone when the same is tried again."""
    if error.errno in _PASSING or isinstance(error, TimeoutError | ConnectionError):
        raise StorageError(f"{where} cannot be reached: {error.strerror or error}; try again") from error


@contextlib.contextmanager
def storage_faults(where: Path | str) -> Iterator[None]:
    """Turns an OSError inside the block into a PotstillError that names the place and what to do."""
    try:
        yield
    except OSError as error:
        check_passing(error, where)
        if error.errno in _FULL:
            advice = "the disk is full; free some space and run again: what was finished is kept"
        else:
            advice = "check that the place exists and may be written to, and run again: what was finished is kept"
        raise PotstillError(f"cannot write {where}: {error.strerror or error}; {advice}") from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A path to write a file to; when the block ends it is flushed to disk and takes the name `path`.

    When the block fails nothing is left of it, and an older file of the name is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a whole file or none, making its folder when needed; raises PotstillError when it cannot."""
    with storage_faults(path), atomic(path) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Flushes a file, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
