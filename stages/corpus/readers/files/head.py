"""A stream whose beginning was looked at and is read nevertheless."""

import io
from typing import IO, Any, cast

from stages.corpus.readers.files.formats import HEAD_BYTES


class Headed(io.RawIOBase):
    """All bytes of a stream; `head` holds the first ones, at most HEAD_BYTES, fewer only where there are no more."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._read = 0
        parts, room = [], HEAD_BYTES
        while room and (part := stream.read(room)):
            parts.append(part)
            room -= len(part)
        self.head = b"".join(parts)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer as far as one read goes; returns the number of bytes, 0 at the end."""
        size = len(buffer)
        part = self.head[self._read : self._read + size] or self._stream.read(size)
        self._read += len(part)
        buffer[: len(part)] = part
        return len(part)

    def buffered(self, size: int) -> IO[bytes]:
        """The stream with lines."""
        return cast(IO[bytes], io.BufferedReader(self, size))
