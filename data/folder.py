"""One artefact's folder, on a local disk or behind any fsspec URL, reduced to what the store needs."""

import contextlib
import os
import shutil
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Protocol

import fsspec

from data.errors import DataError, PotstillError, StorageError
from data.fingerprint import file_digest, is_hidden, stream_digest
from data.local import atomic, check_passing, storage_faults, sync, write_atomically


class Folder(Hashable, Protocol):
    """Files by relative name, `/` between parts. Equal folders have equal URLs."""

    @property
    def url(self) -> str:
        """Where it is."""

    def write(self, name: str, content: bytes) -> None:
        """Writes a whole file or none; raises PotstillError."""

    def read(self, name: str) -> bytes:
        """All bytes of a file; raises DataError when there is none."""

    def open(self, name: str) -> Any:
        """What pyarrow reads a file from, so that only the bytes of the columns asked for are read."""

    def digest(self, name: str) -> str:
        """BLAKE2b of the file's bytes, read again now; raises DataError when there is none."""

    def stamp(self, name: str) -> str | None:
        """Something that changes when the file does; None when there is none."""

    def size(self, name: str) -> int:
        """Bytes of a file that is there."""

    def names(self) -> list[str]:
        """All files below the folder, sorted; empty when the folder does not exist."""

    def entries(self) -> list[str]:
        """Names of the files and folders right below it, sorted; empty when the folder does not exist."""

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""

    def remove_hidden(self) -> None:
        """Removes every file and folder whose name begins with a dot."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder on a disk of this machine."""

    root: Path

    @property
    def url(self) -> str:
        """Absolute path."""
        return str(self.root)

    def write(self, name: str, content: bytes) -> None:
        """Temporary name, flush to disk, rename, flush the folder."""
        write_atomically(self.root / name, content)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        with reading_faults(self.root / name):
            return (self.root / name).read_bytes()

    def open(self, name: str) -> Any:
        """The path, as text."""
        return str(self.root / name)

    def digest(self, name: str) -> str:
        """BLAKE2b of the file's bytes."""
        return file_digest(self.root / name)

    def stamp(self, name: str) -> str | None:
        """Size, inode and times of the file."""
        try:
            status = (self.root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return f"{status.st_size}-{status.st_ino}-{status.st_mtime_ns}-{status.st_ctime_ns}"

    def size(self, name: str) -> int:
        """Bytes of a file that is there."""
        return (self.root / name).stat().st_size

    def names(self) -> list[str]:
        """All files; raises DataError for a link to a folder, whose files would be missed."""
        found = []
        for place, folders, files in os.walk(self.root):
            base = Path(place)
            if links := [str(base / name) for name in folders if (base / name).is_symlink()]:
                raise DataError(f"{links[0]} is a link to a folder; expected the folder itself: copy it there")
            # Names are made from text: a path an object costs seconds where there are a hundred thousand shards.
            below = "" if base == self.root else f"{base.relative_to(self.root).as_posix()}/"
            found += [below + name for name in files]
        return sorted(found)

    def entries(self) -> list[str]:
        """Names of the files and folders right below it."""
        with reading_faults(self.root):
            return sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []

    def remove(self, name: str) -> None:
        """Removes the file."""
        with storage_faults(self.root / name):
            (self.root / name).unlink(missing_ok=True)

    def remove_hidden(self) -> None:
        """Removes every file and folder whose name begins with a dot."""
        for path in sorted(self.root.rglob(".*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def flush(self, names: list[str]) -> None:
        """Flushes files that others wrote, and all folders they lie in, to disk."""
        folders = {self.root} | {self.root / parent for name in names for parent in PurePath(name).parents}
        with storage_faults(self.root):
            for path in [*(self.root / name for name in names), *sorted(folders)]:
                sync(path)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in an object store, or any other place that fsspec reaches.

    A file is put in one call, which an object store takes whole or not at all. Elsewhere a kill can
    leave half a file; it is then a file without a record, and counts as absent.
    """

    url: str
    files: Any = field(compare=False, repr=False)
    root: str = field(compare=False, repr=False)

    def write(self, name: str, content: bytes) -> None:
        """One put."""
        with _writing(f"{self.url}/{name}"):
            self.files.makedirs(self._path(name).rsplit("/", 1)[0], exist_ok=True)
            self.files.pipe_file(self._path(name), content)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        with _reading(f"{self.url}/{name}"):
            return bytes(self.files.cat_file(self._path(name)))

    def open(self, name: str) -> Any:
        """A seekable stream."""
        with _reading(f"{self.url}/{name}"):
            return self.files.open(self._path(name), "rb")

    def digest(self, name: str) -> str:
        """BLAKE2b of the file's bytes."""
        with _reading(f"{self.url}/{name}"), self.open(name) as stream:
            return stream_digest(stream)

    def stamp(self, name: str) -> str | None:
        """What the store knows of the file: size, time, tag."""
        with _reading(f"{self.url}/{name}"):
            self.files.invalidate_cache()
            try:
                return str(self.files.ukey(self._path(name)))
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int:
        """Bytes of a file that is there."""
        with _reading(f"{self.url}/{name}"):
            return int(self.files.size(self._path(name)))

    def names(self) -> list[str]:
        """All files."""
        with _reading(self.url):
            self.files.invalidate_cache()
            return sorted(path[len(self.root) :].strip("/") for path in self.files.find(self.root))

    def entries(self) -> list[str]:
        """Names of the files and folders right below it."""
        with _reading(self.url):
            self.files.invalidate_cache()
            try:
                found = self.files.ls(self.root, detail=False)
            except FileNotFoundError:
                return []
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)

    def remove(self, name: str) -> None:
        """Removes the file."""
        if self.stamp(name) is not None:
            with _writing(f"{self.url}/{name}"):
                self.files.rm_file(self._path(name))

    def remove_hidden(self) -> None:
        """Removes every file that has a part in its name that begins with a dot."""
        for name in self.names():
            if is_hidden(name):
                with _writing(f"{self.url}/{name}"):
                    self.files.rm_file(self._path(name))

    def upload(self, local: Path, name: str) -> None:
        """Puts a local file, however large."""
        with _writing(f"{self.url}/{name}"):
            self.files.makedirs(self._path(name).rsplit("/", 1)[0], exist_ok=True)
            self.files.put_file(str(local), self._path(name))

    def download(self, name: str, local: Path) -> None:
        """Gets a file, however large, under its name whole or not at all."""
        with storage_faults(local), atomic(local) as temporary, _unheard_of(f"{self.url}/{name}"):
            self.files.get_file(self._path(name), str(temporary))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def open_folder(url: str, storage_options: dict[str, Any] | None = None) -> LocalFolder | RemoteFolder:
    """The folder behind a path or URL; it need not exist yet. `storage_options` go to fsspec."""
    files, root = fsspec.core.url_to_fs(url, **(storage_options or {}))
    if "file" in files.protocol:
        return LocalFolder(Path(root))
    return RemoteFolder(url.rstrip("/"), files, root.rstrip("/"))


def known_digest(folder: Folder, name: str) -> str | None:
    """Digest of a file, read once a process as long as its stamp stays; None when there is none."""
    stamp = folder.stamp(name)
    return None if stamp is None else _digest_at(folder, name, stamp)


@lru_cache(maxsize=1 << 16)
def _digest_at(folder: Folder, name: str, stamp: str) -> str:
    return folder.digest(name)


@contextlib.contextmanager
def reading_faults(where: Path | str) -> Iterator[None]:
    """Turns an OSError inside the block into a DataError that names the place, a passing one into a StorageError."""
    try:
        yield
    except OSError as error:
        check_passing(error, where)
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
    with reading_faults(where), _unheard_of(where):
        yield


@contextlib.contextmanager
def _writing(where: str) -> Iterator[None]:
    with storage_faults(where), _unheard_of(where):
        yield


@contextlib.contextmanager
def _unheard_of(where: str) -> Iterator[None]:
    """A library that speaks to a server has errors of its own, as for credentials that are not there."""
    try:
        yield
    except (PotstillError, OSError):
        raise
    except Exception as error:
        fault = f"{where} cannot be reached: {type(error).__name__}: {error}"
        raise StorageError(f"{fault}; check run.storage_options and the credentials, and try again") from error
