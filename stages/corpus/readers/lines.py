"""Lines of a text file, plain or packed, in bounded memory however long a line is."""

import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from lzma import LZMAError
from typing import IO, Any, NamedTuple, cast

import fsspec
import pyarrow as pa
from fsspec.utils import infer_compression

from data.errors import DataError
from stages.corpus.readers.paths import shown_error, shown_path
from stages.corpus.readers.rows import SHOWN_CHARACTERS, Reason
from stages.corpus.readers.xz import XzStream

_BUFFER_BYTES = 1 << 20
_MARK = b"\xef\xbb\xbf"
# By fsspec's name of the packing. Its own readers of these take a later stream that is damaged for the file's end.
_READERS: Mapping[str | None, Callable[[Any], Any]] = {
    "zstd": lambda stream: pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd"),
    "bz2": lambda stream: pa.CompressedInputStream(pa.PythonFile(stream, "r"), "bz2"),
    "xz": XzStream,
    "lzma": XzStream,
}


class Line(NamedTuple):
    """A line without its end; with a reason, `text` is only what could be read of it."""

    text: str
    reason: Reason | None


def read_lines(path: str, longest: int) -> Iterator[Line]:
    """Lines, ended by LF alone; one of more than `longest` bytes is cut and marked; raises DataError.

    Other marks of a line's end, such as U+2028, are part of the text: a parallel file counts LF.
    """
    with opened(path) as stream:
        first = True
        while line := stream.readline(longest + 1):
            whole = line.endswith(b"\n")
            if len(line) > longest and not whole:
                _skip_line(stream, longest)
                yield Line(_shown(line), Reason.TOO_LONG)
            else:
                yield _decode(line.removeprefix(_MARK) if first else line)
            first = False


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A file's content as bytes, unpacked by its suffix; raises DataError when it is missing or damaged."""
    try:
        packing = infer_compression(shown_path(path))
        unpacked = _READERS.get(packing)
        with fsspec.open(path, "rb", compression=None if unpacked else packing) as stream:
            yield io.BufferedReader(cast(Any, unpacked(stream) if unpacked else stream), _BUFFER_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{shown_path(path)}: no such file") from error
    except (OSError, EOFError, LZMAError, zlib.error) as error:
        told = f"{shown_path(path)} cannot be read: {shown_error(error, path)}"
        raise DataError(f"{told}; is it damaged or cut off?") from error


def _skip_line(stream: IO[bytes], longest: int) -> None:
    while (rest := stream.readline(longest + 1)) and not rest.endswith(b"\n"):
        pass


def _decode(line: bytes) -> Line:
    try:
        return Line(line.decode("utf-8").rstrip("\n"), None)
    except UnicodeDecodeError:
        return Line(_shown(line), Reason.NOT_UTF8)


def _shown(line: bytes) -> str:
    return line[: 4 * SHOWN_CHARACTERS].decode("utf-8", errors="replace").rstrip("\n")
