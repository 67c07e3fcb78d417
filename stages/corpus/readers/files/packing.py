"""A file's content as bytes, unpacked by what it is and not by its name, and refused where a reader wants another."""

import gzip
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import IO, Any, cast

import fsspec
import pyarrow as pa

from data.errors import DataError
from stages.corpus.readers.files.archives import (
    ARCHIVE_DAMAGES,
    names_member,
    open_single,
    open_tarred,
    open_zipped,
    refuse_tar,
)
from stages.corpus.readers.files.formats import FORMATS, LINES, is_packing, is_zip, recognise
from stages.corpus.readers.files.head import Headed
from stages.corpus.readers.paths import shown_error, shown_path
from stages.corpus.readers.xz import XzStream

_BUFFER_BYTES = 1 << 20
_UNPACKERS: Mapping[str, Callable[[Any], Any]] = {
    "gzip": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),
    # Python's own readers of these take a later stream that is damaged for the file's end.
    "bz2": lambda stream: pa.CompressedInputStream(pa.PythonFile(stream, "r"), "bz2"),
    "zstd": lambda stream: pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd"),
    "lz4": lambda stream: pa.CompressedInputStream(pa.PythonFile(stream, "r"), "lz4"),
    "xz": XzStream,
    "lzma": XzStream,
}
# No suffix for Brotli: .br is Breton, and nothing in its bytes tells it.
_SUFFIXES = {
    ".gz": "gzip", ".gzip": "gzip", ".bgz": "gzip", ".tgz": "gzip", ".bz2": "bz2", ".tbz2": "bz2", ".xz": "xz",
    ".txz": "xz", ".lzma": "lzma", ".zst": "zstd", ".zstd": "zstd", ".tzst": "zstd", ".lz4": "lz4", ".zip": "zip",
    ".tar": "tar", ".7z": "7z", ".rar": "rar", ".lz": "lzip", ".lzo": "lzop", ".z": "compress", ".sz": "snappy",
}  # fmt: skip
# What lines are taken for by what they have in common, and may not be.
_BY_LINES = ("csv", "semicolons")
_AS_LINES = "; if each line is a text, anything = true takes it so"
_DAMAGES = (OSError, EOFError, LZMAError, zlib.error, pa.ArrowException, *ARCHIVE_DAMAGES)


@contextmanager
def opened(path: str, accepts: Collection[str] = (), anything: bool = False) -> Iterator[IO[bytes]]:
    """A file's content as bytes, unpacked; raises DataError when it is missing, damaged, or of another format.

    `accepts`: keys of formats (see formats.py) that the caller reads; lines of plain text are always let through.
    With `anything` all text is, whatever it looks like. A path may name a member of an archive: `zip://MEMBER::PATH`,
    or `tar://MEMBER::PATH`, and the member may be packed in its turn.
    """
    try:
        with ExitStack() as stack:
            yield _content(path, accepts, anything, stack)
    except FileNotFoundError as error:
        raise DataError(f"{shown_path(path)}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{shown_path(path)}: expected a file, found a folder") from error
    except _DAMAGES as error:
        told = f"{shown_path(path)} cannot be read: {shown_error(error, path)}"
        raise DataError(f"{told}; is it damaged or cut off?") from error


def _content(path: str, accepts: Collection[str], anything: bool, stack: ExitStack) -> IO[bytes]:
    member = names_member(path)
    archive = member.archive if member else path
    stream = cast(IO[bytes], stack.enter_context(fsspec.open(archive, "rb", compression=None)))
    packed, name = Headed(stream), shown_path(archive)
    if member and member.kind == "tar":
        packed, name = (
            Headed(open_tarred(_unpacked(packed, name, path).buffered(_BUFFER_BYTES), member, stack)),
            member.name,
        )
    elif member or is_zip(packed.head):
        stream.seek(0)
        found, name = (open_zipped(stream, member, stack), member.name) if member else open_single(stream, path, stack)
        packed = Headed(found)
    content = _unpacked(packed, name, path)
    _check(content, path, accepts, anything)
    return content.buffered(_BUFFER_BYTES)


def _unpacked(packed: Headed, name: str, path: str) -> Headed:
    """The content of what may be packed; DataError where its name says so and its bytes do not."""
    claimed = _SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if not packed.head and claimed is not None:
        raise DataError(f"{shown_path(path)} is empty, 0 bytes; did its download fail?")
    if packing := is_packing(packed.head, claimed):
        return Headed(cast(Any, _UNPACKERS[packing](packed)))
    found = recognise(packed.head)
    if claimed is not None and (found is None or found.key != claimed):
        raise DataError(
            f"{shown_path(path)} cannot be read: it is named as {FORMATS[claimed].words}, and found was "
            f"{found.words if found else 'something else'}; is it damaged or cut off?"
        )
    return packed


def _check(content: Headed, path: str, accepts: Collection[str], anything: bool) -> None:
    found = recognise(content.head)
    if found is None or found.key in accepts or (anything and found.key in LINES):
        return
    if found.key == "tar":
        refuse_tar(content.buffered(_BUFFER_BYTES), path)
    raise DataError(
        f"{shown_path(path)} holds {found.words}; {found.advice}{_AS_LINES if found.key in _BY_LINES else ''}"
    )
