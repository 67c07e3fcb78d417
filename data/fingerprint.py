"""Digests of files and folders, and the fingerprint that names what a stage left behind."""

import hashlib
import importlib.metadata
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from data.errors import ConfigError, DataError, PotstillError
from data.local import write_atomically

DIGEST_BYTES = 32
FINGERPRINT_DIGITS = 20
CHUNK_BYTES = 1 << 20
# A file changed within the clock's resolution can keep its size and time: what is younger is not remembered.
SETTLED_SECONDS = 2.0
_LOG = logging.getLogger(__name__)


def bytes_digest(content: bytes) -> str:
    """BLAKE2b of bytes, 64 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def stream_digest(stream: IO[bytes]) -> str:
    """BLAKE2b of what is left in a binary stream, 64 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    while chunk := stream.read(CHUNK_BYTES):
        state.update(chunk)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 64 hexadecimal digits; raises DataError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream_digest(stream)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def folder_digest(path: Path, cache: "DigestCache | None" = None) -> str:
    """Digest of all files below a folder, by relative name and content; hidden files and folders do not count.

    Raises DataError when the folder does not exist or holds no file.
    """
    digest = cache.digest if cache else file_digest
    files = {part.relative_to(path).as_posix(): part for part in path.rglob("*") if part.is_file()}
    visible = {name: file for name, file in files.items() if not is_hidden(name)}
    if not visible:
        raise DataError(f"{path} holds no files; expected a folder with at least one")
    return mapping_digest({name: digest(file) for name, file in visible.items()})


def path_digest(path: Path, cache: "DigestCache | None" = None) -> str:
    """Digest of a file or, when `path` is one, of a folder; raises DataError when neither is there."""
    if path.is_dir():
        return folder_digest(path, cache)
    return cache.digest(path) if cache else file_digest(path)


def mapping_digest(digests: Mapping[str, str]) -> str:
    """One digest for many named ones; their order does not matter."""
    return bytes_digest(_canonical(dict(digests)))


def is_hidden(name: str) -> bool:
    """Whether any part of a relative name begins with a dot."""
    return any(part.startswith(".") for part in name.split("/"))


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed version of every distribution; raises ConfigError with all that are missing."""
    versions, faults = {}, []
    for name in sorted(names):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            faults.append(f"library {name} is not installed; run `make setup`")
    if faults:
        raise ConfigError(faults)
    return versions


def fingerprint(
    stage: str,
    version: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    libraries: Mapping[str, str],
    files: Mapping[str, str],
) -> str:
    """Name of a stage's output: 20 hexadecimal digits over all that can change its content.

    `config` is JSON-able; `inputs` maps input nodes, `libraries` distributions and `files` external
    files to what identifies them (digest, version, digest). The order of keys does not matter.
    """
    content = {
        "stage": stage,
        "version": version,
        "config": config,
        "inputs": dict(inputs),
        "libraries": dict(libraries),
        "files": dict(files),
    }
    return bytes_digest(_canonical(content))[:FINGERPRINT_DIGITS]


class DigestCache:
    """Digests of external files, remembered in a small JSON file by path, size and times.

    So a plan does not read gigabytes again. A memory that cannot be parsed counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = _load_cache(path)
        self._changed = False

    def save(self) -> None:
        """Writes what was learnt, if anything; where it cannot, as below a home that is read-only, it says so once."""
        if not self._changed:
            return
        self._changed = False
        try:
            write_atomically(self.path, _canonical(self._known))
        except (OSError, PotstillError) as error:
            _LOG.warning("digests of external files are not remembered, so each plan reads these anew: %s", error)

    def digest(self, path: Path) -> str:
        """Digest of a file, from memory when size and times are as they were; raises DataError."""
        key = str(path.resolve())
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(key)
        if known and known[:3] == stamp:
            return str(known[3])
        digest = file_digest(path)
        if time.time() - status.st_ctime > SETTLED_SECONDS:
            self._known[key] = [*stamp, digest]
            self._changed = True
        return digest


def _load_cache(path: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, list) and len(entry) == 4}


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
