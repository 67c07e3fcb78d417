"""Lines of a text file, plain or packed, in bounded memory however long a line is."""

from collections.abc import Collection, Iterator
from typing import IO, NamedTuple

from data.errors import DataError
from stages.corpus.readers.files.packing import opened
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import SHOWN_CHARACTERS, Reason

_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end; with a reason, `text` is only what could be read of it."""

    text: str
    reason: Reason | None


def read_lines(path: str, longest: int, accepts: Collection[str] = (), anything: bool = False) -> Iterator[Line]:
    """Lines, ended by LF alone; one of more than `longest` bytes is cut and marked; raises DataError.

    Other marks of a line's end, such as U+2028, are part of the text: a parallel file counts LF. A byte order mark at a
    line's start is none: files that begin with one were put together. `accepts` and `anything` are those of `opened`.
    """
    lines = returns = 0
    with opened(path, accepts, anything) as stream:
        while line := stream.readline(longest + 1):
            lines += 1
            returns += line.count(b"\r") - line.endswith((b"\r\n", b"\r"))
            whole = line.endswith(b"\n")
            if len(line) > longest and not whole:
                returns += _skip_line(stream, longest)
                yield Line(_shown(line), Reason.TOO_LONG)
            else:
                yield _decode(line.removeprefix(_MARK))
    if returns and returns >= lines:
        raise DataError(
            f"{shown_path(path)}: {lines} lines end with LF, and {returns} with CR alone, as old Macs wrote them; "
            "write it anew with LF, as in: tr '\\r' '\\n'"
        )


def _skip_line(stream: IO[bytes], longest: int) -> int:
    """Reads up to the line's end; returns the number of CRs in it."""
    returns = 0
    while (rest := stream.readline(longest + 1)) and not rest.endswith(b"\n"):
        returns += rest.count(b"\r")
    return returns + rest.count(b"\r")


def _decode(line: bytes) -> Line:
    try:
        return Line(_without_end(line).decode("utf-8"), None)
    except UnicodeDecodeError:
        return Line(_shown(line), Reason.NOT_UTF8)


def _without_end(line: bytes) -> bytes:
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def _shown(line: bytes) -> str:
    return line[: 4 * SHOWN_CHARACTERS].decode("utf-8", errors="replace").rstrip("\n")
