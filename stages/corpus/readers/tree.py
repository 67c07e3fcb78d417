"""Files by name inside a zip (a wheel is one) or a folder, on disk or behind an fsspec URL."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from typing import IO, Any, Protocol, cast

import fsspec

from data.errors import DataError
from stages.corpus.readers.files.archives import ZIP_DAMAGES, zipped_files
from stages.corpus.readers.paths import shown_error, shown_path

LARGEST_FILE_BYTES = 64 << 20
_READ_BYTES = 1 << 20
# RuntimeError: the member is encrypted. NotImplementedError: packed in a way Python does not know.
_DAMAGES = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)


class Tree(Protocol):
    """Names, relative and with `/`, and the content of each."""

    def names(self) -> list[str]:
        """All names, sorted."""

    def read(self, name: str) -> bytes:
        """A file's bytes; raises DataError, with its name alone, when it is damaged or too large to be a catalog."""


@contextmanager
def open_tree(path: str) -> Iterator[Tree]:
    """The files below a folder or inside a zip; raises DataError when it is neither. Nothing is unpacked to disk."""
    files, root = fsspec.core.url_to_fs(path)
    if files.isdir(root):
        yield _Folder(files, root)
        return
    if not files.exists(root):
        raise DataError(f"{shown_path(path)}: no such file or folder")
    with files.open(root, "rb") as stream:
        try:
            archive = zipfile.ZipFile(cast(IO[bytes], stream))
        except ZIP_DAMAGES as error:
            told = f"{shown_path(path)}: {shown_error(error, path)}"
            raise DataError(f"{told}; expected a folder, a zip or a wheel") from error
        with archive:
            yield _Zip(archive)


class _Folder:
    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    def names(self) -> list[str]:
        return sorted(name[len(self._root) + 1 :] for name in self._files.find(self._root))

    def read(self, name: str) -> bytes:
        path = f"{self._root}/{name}"
        _check_size(name, self._files.size(path))
        try:
            return bytes(self._files.cat_file(path))
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error.strerror or type(error).__name__}") from error


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> list[str]:
        return sorted({info.filename for info in zipped_files(self._archive)})

    def read(self, name: str) -> bytes:
        _check_size(name, self._archive.getinfo(name).file_size)
        try:
            with self._archive.open(name) as stream:
                return _bounded(stream, name)
        except _DAMAGES as error:
            raise DataError(f"{name} cannot be read: {error}") from error


def _bounded(stream: IO[bytes], name: str) -> bytes:
    """All of a stream; raises DataError where there is more than an archive has said."""
    parts, size = list[bytes](), 0
    while part := stream.read(_READ_BYTES):
        parts.append(part)
        size += len(part)
        _check_size(name, size)
    return b"".join(parts)


def _check_size(name: str, size: int | None) -> None:
    if size is not None and size > LARGEST_FILE_BYTES:
        raise DataError(f"{name} has {size} bytes; expected at most {LARGEST_FILE_BYTES} of a catalog")
