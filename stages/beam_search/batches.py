"""Batch after batch through a model, the next ones in its queue; one that does not fit into memory is halved."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from stages.loaded_model.model import token_batches

T = TypeVar("T")
Wait = Callable[[], Sequence[T]]
# Batches begun before the results of the first are taken: on a GPU one is computed, and others wait in its queue,
# while Python works on results. More would only hold memory.
AHEAD = 4
# In the words of CUDA, of C++, of cuBLAS, and of CTranslate2's own allocator for a CPU.
_SIGNS = ("out of memory", "bad_alloc", "alloc_failed", "failed to allocate")


class Batches(Generic[T]):
    """Iterates over (rows, their results) for all of `rows`, in batches of at most `max_tokens`.

    `start` begins the work on some rows and returns what waits for it. A batch for which memory runs out is done
    again in batches of half the size, and so are all that were not begun; `halved` says how often. Batches depend
    on the arguments alone, as long as memory suffices. A single row that does not fit raises what was raised.
    """

    def __init__(
        self,
        rows: Sequence[int],
        sizes: Sequence[tuple[int, ...]],
        max_tokens: int,
        start: Callable[[list[int]], Wait[T]],
    ) -> None:
        self.halved = 0
        self._sizes, self._limit, self._start = sizes, max_tokens, start
        self._planned = deque(token_batches(rows, sizes, max_tokens))
        self._begun: deque[tuple[list[int], int, Wait[T]]] = deque()

    def __iter__(self) -> Iterator[tuple[list[int], Sequence[T]]]:
        """Raises what `start` and the waiting raise, but for a lack of memory."""
        while self._planned or self._begun:
            self._begin()
            if not self._begun:
                continue
            rows, limit, wait = self._begun.popleft()
            try:
                results = wait()
            except (MemoryError, RuntimeError) as error:
                self._halve(rows, limit, error)
                continue
            yield rows, results

    def _begin(self) -> None:
        while self._planned and len(self._begun) < AHEAD:
            rows, limit = self._planned.popleft(), self._limit
            try:
                self._begun.append((rows, limit, self._start(rows)))
            except (MemoryError, RuntimeError) as error:
                self._halve(rows, limit, error)
                return

    def _halve(self, rows: list[int], limit: int, error: Exception) -> None:
        """Plans the rows, and all that are still to be begun, anew; raises the error when it cannot help."""
        if len(rows) == 1 or not is_out_of_memory(error):
            raise error
        # Of several batches that were under way at the same time, the first to fail has halved the limit already.
        if limit <= self._limit:
            largest = len(rows) * max(max(self._sizes[row]) for row in rows)
            self._limit = max(min(limit, largest) // 2, 1)
            self.halved += 1
        again = [*rows, *(row for planned in self._planned for row in planned)]
        self._planned = deque(token_batches(again, self._sizes, self._limit))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of CTranslate2, or of Python, says that memory ran out, on whatever device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS)
