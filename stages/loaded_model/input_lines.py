"""Lines of text that somebody wants translated, as they come in."""

import io
from collections.abc import Iterator
from typing import IO, cast

from data.errors import DataError

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
# Of UTF-16, in both orders, and of UTF-32, of which the first begins as one of the others does.
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_HEAD_BYTES = 4096


def text_lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines without their ends and without byte order marks; raises DataError where the bytes are UTF-16 or UTF-32.

    A line ends at a line feed and nowhere else, and bytes that are no UTF-8 cost a character, not the rest.
    """
    bytes_ahead = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    head = bytes_ahead.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    if head.startswith(_WIDE_MARKS) or _has_zeros(head):
        raise DataError(
            "the input is text in UTF-16 or UTF-32, expected UTF-8; write it anew: iconv -f UTF-16 -t UTF-8"
        )
    text = io.TextIOWrapper(bytes_ahead, encoding="utf-8", errors="replace", newline="\n")
    for line in text:
        yield line.removesuffix("\n").replace(_MARK, "")


def _has_zeros(head: bytes) -> bool:
    """Whether nearly every other byte of Latin text is zero, and nearly none of the rest."""
    even, odd, half = head[0::2].count(0), head[1::2].count(0), len(head) // 2
    quarter = [head[place::4].count(0) * 12 > len(head) for place in range(4)]  # three of four bytes in UTF-32
    return half > 3 and ((min(even, odd) * 10 < max(even, odd) and max(even, odd) * 3 > half) or (sum(quarter) > 2))
