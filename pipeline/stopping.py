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


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped inside; one that comes later ends at once, without waiting for workers."""
    asked: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(time.monotonic())
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
