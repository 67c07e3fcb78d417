"""A stream that is asked for no more than there is."""

import io
from typing import IO, Any


class Sized(io.RawIOBase):
    """All of a stream that can seek; a damaged length in a file cannot ask for memory that its bytes would not fill."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._size = stream.seek(0, 2)
        stream.seek(0)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """As any stream."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """As any stream."""
        return self._stream.tell()

    def read(self, size: int | None = -1) -> bytes:
        """At most so many bytes, and no more than there are."""
        left = max(self._size - self._stream.tell(), 0)
        return self._stream.read(left if size is None or size < 0 else min(size, left))

    def readinto(self, buffer: Any) -> int:
        """As many bytes as there is room for; returns their number."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
