"""One artefact's folder, on a local disk or behind any fsspec URL, reduced to what the store needs."""

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import fsspec

from data.errors import DataError
from data.fingerprint import bytes_digest, file_digest
from data.local import storage_faults, write_atomically


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

    def names(self) -> list[str]:
        """All files below the folder, sorted; empty when the folder does not exist."""

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""


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
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.root / name} cannot be read: {error.strerror or error}") from error

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

    def names(self) -> list[str]:
        """All files; raises DataError for a link to a folder, whose files would be missed."""
        found = []
        for place, folders, files in os.walk(self.root):
            base = Path(place)
            if links := [str(base / name) for name in folders if (base / name).is_symlink()]:
                raise DataError(f"{links[0]} is a link to a folder; expected the folder itself: copy it there")
            found += [(base / name).relative_to(self.root).as_posix() for name in files]
        return sorted(found)

    def remove(self, name: str) -> None:
        """Removes the file and the folders that are empty without it, below the root."""
        path = self.root / name
        with storage_faults(path):
            path.unlink(missing_ok=True)
            for parent in path.relative_to(self.root).parents[:-1]:
                if any((self.root / parent).iterdir()):
                    break
                (self.root / parent).rmdir()


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
        with storage_faults(f"{self.url}/{name}"):
            self.files.makedirs(self._path(name).rsplit("/", 1)[0], exist_ok=True)
            self.files.pipe_file(self._path(name), content)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        try:
            return bytes(self.files.cat_file(self._path(name)))
        except OSError as error:
            raise DataError(f"{self.url}/{name} cannot be read: {error.strerror or error}") from error

    def open(self, name: str) -> Any:
        """A seekable stream."""
        return self.files.open(self._path(name), "rb")

    def digest(self, name: str) -> str:
        """BLAKE2b of the file's bytes."""
        return bytes_digest(self.read(name))

    def stamp(self, name: str) -> str | None:
        """What the store knows of the file: size, time, tag."""
        self.files.invalidate_cache()
        try:
            return str(self.files.ukey(self._path(name)))
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """All files."""
        self.files.invalidate_cache()
        return sorted(path[len(self.root) :].strip("/") for path in self.files.find(self.root))

    def remove(self, name: str) -> None:
        """Removes the file."""
        if self.stamp(name) is not None:
            self.files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def open_folder(url: str, storage_options: dict[str, Any] | None = None) -> LocalFolder | RemoteFolder:
    """The folder behind a path or URL; it need not exist yet. `storage_options` go to fsspec."""
    files, root = fsspec.core.url_to_fs(url, **(storage_options or {}))
    if "file" in files.protocol:
        return LocalFolder(Path(root))
    return RemoteFolder(url.rstrip("/"), files, root.rstrip("/"))


def known_digest(folder: Folder, name: str) -> str:
    """Digest of a file, read once a process as long as its stamp stays; raises DataError when there is none."""
    return _digest_at(folder, name, folder.stamp(name))


@lru_cache(maxsize=1 << 16)
def _digest_at(folder: Folder, name: str, stamp: str | None) -> str:
    return folder.digest(name)
