"""Content of .xz files with all their streams: Python's own reader takes a damaged later one for the file's end."""

import io
from lzma import LZMADecompressor, LZMAError
from typing import IO, Any

_READ_BYTES = 1 << 18


class XzStream(io.RawIOBase):
    """What the streams of a packed file hold, one after the other, in bounded memory.

    Reading raises LZMAError where a stream is damaged or other bytes follow one, EOFError where the last is cut off.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._unpacker = LZMADecompressor()
        self._number = 1

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpacks so many bytes at most as there is room for; returns their number, 0 at the file's end."""
        content = b""
        while not content and (packed := self._following()) is not None:
            content = self._unpack(packed, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _unpack(self, packed: bytes, most: int) -> bytes:
        try:
            return self._unpacker.decompress(packed, most)
        except LZMAError as error:
            raise LZMAError(f"stream {self._number}: {error}") from error

    def _following(self) -> bytes | None:
        """Packed bytes for the unpacker, none where it holds back content; None at the file's end."""
        if self._unpacker.eof:
            return self._next_stream(self._unpacker.unused_data)
        if not self._unpacker.needs_input:
            return b""
        if packed := self._packed.read(_READ_BYTES):
            return packed
        raise EOFError(f"stream {self._number} has no end")

    def _next_stream(self, rest: bytes) -> bytes | None:
        """The first bytes of another stream, behind zeros that may fill up to it, with an unpacker for it."""
        begun, seen = rest.lstrip(b"\0"), len(rest)
        while not begun and (rest := self._packed.read(_READ_BYTES)):
            begun, seen = rest.lstrip(b"\0"), seen + len(rest)
        if zeros := (seen - len(begun)) % 4:
            raise LZMAError(f"stream {self._number} is followed by zeros, {zeros} more than a multiple of 4")
        if not begun:
            return None
        self._unpacker = LZMADecompressor()
        self._number += 1
        return begun
