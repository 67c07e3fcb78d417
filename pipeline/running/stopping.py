"""What a signal does to a command: it ends what is under way, cleanly the first time, at once the second."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ONE_WISH_SECONDS = 1.0


class Stopped(BaseException):
    """A signal asked the run to stop. Not an Exception: nothing on the way may take it for a failure."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class _Hold:
    """How many parts that are not to be cut short are under way, and a wish that came meanwhile."""

    depth = 0
    wish: Stopped | None = None


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is done inside is done whole; a signal that comes meanwhile raises Stopped behind it. For short things.

    A library may take Stopped for a failure of the file that it was writing, and try again what was done already.
    """
    _Hold.depth += 1
    try:
        yield
    finally:
        _Hold.depth -= 1
    if not _Hold.depth and _Hold.wish:
        wish, _Hold.wish = _Hold.wish, None
        raise wish


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped inside; one that comes later ends at once, without waiting for workers."""
    asked: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1 and _Hold.depth:
            _Hold.wish = Stopped(number)
            return
        if len(asked) == 1:
            raise Stopped(number)
        # `timeout` and others signal the process and then its group: that is one wish, told twice.
        if asked[-1] - asked[0] > ONE_WISH_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
