"""Batches made in a thread of their own, a few ahead of the training that eats them."""

import queue
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar, cast

T = TypeVar("T")
_END = object()


class Prefetcher(Generic[T]):
    """Iterates `items` in a background thread. Use as a context: leaving it ends the thread.

    An error in the thread is raised where the item would have come.
    """

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="batches", daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._drain()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()

    def _drain(self) -> Iterator[T]:
        while True:
            item, error = self._queue.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    def _fill(self) -> None:
        try:
            for item in self._items:
                if not self._put((item, None)):
                    return
            self._put((None, None))
        except BaseException as error:
            self._put((None, error))
        finally:
            self._close()

    def _close(self) -> None:
        """Ends what is made ahead, in the thread that asked for it."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _put(self, entry: tuple[T | None, BaseException | None]) -> bool:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(entry, timeout=0.1)
                return True
        return False


def one_ahead(items: Iterator[T], stopped: threading.Event) -> Generator[T, None, None]:
    """The same, each made in a thread of its own while the one before it is used; an error is raised in its place.

    `stopped` is set when it is closed, so that `items` may end early.
    """
    with ThreadPoolExecutor(1, "pools") as executor:
        try:
            waiting = executor.submit(_next, items)
            while (item := waiting.result()) is not _END:
                waiting = executor.submit(_next, items)
                yield cast(T, item)
        finally:
            stopped.set()


def _next(items: Iterator[T]) -> T | object:
    return next(items, _END)
