"""Batches: every row once, results in their rows' places, and less at a time when memory runs out."""

from collections.abc import Callable

import pytest

from stages.beam_search.batches import AHEAD, Batches, is_out_of_memory
from stages.loaded_model.model import token_batches

SIZES = [(size,) for size in (5, 1, 9, 3, 7, 2, 8, 4, 6, 5, 5, 1)]


class Model:
    """Answers a row with its square; has memory for `room` tokens, and notices either at once or when it is waited."""

    def __init__(self, room: int = 10**6, *, at_once: bool = False, error: Exception | None = None) -> None:
        self.room, self.at_once, self.error = room, at_once, error or MemoryError()
        self.begun: list[list[int]] = []
        self.waiting = self.most_waiting = 0

    def start(self, rows: list[int]) -> Callable[[], list[int]]:
        self.begun.append(rows)
        if self.at_once:
            self._check(rows)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)

        def wait() -> list[int]:
            self.waiting -= 1
            self._check(rows)
            return [row * row for row in rows]

        return wait

    def _check(self, rows: list[int]) -> None:
        if len(rows) * max(SIZES[row][0] for row in rows) > self.room:
            raise self.error


def results(batches: Batches[int]) -> dict[int, int]:
    pairs = [pair for rows, found in batches for pair in zip(rows, found, strict=True)]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_batches_are_those_planned_and_some_are_begun_ahead() -> None:
    model = Model()
    batches = Batches(range(12), SIZES, 9, model.start)
    assert results(batches) == {row: row * row for row in range(12)}
    assert model.begun == list(token_batches(range(12), SIZES, 9))
    assert (model.most_waiting, batches.halved) == (AHEAD, 0)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        RuntimeError("CUDA failed with error out of memory"),
        RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(at_once: bool, error: Exception) -> None:
    model = Model(room=12, at_once=at_once, error=error)
    batches = Batches(range(12), SIZES, 40, model.start)
    assert results(batches) == {row: row * row for row in range(12)}
    assert batches.halved == 2
    assert max(len(rows) * max(SIZES[row][0] for row in rows) for rows in model.begun[-3:]) <= 10


def test_the_same_lack_of_memory_gives_the_same_batches() -> None:
    models = [Model(room=12), Model(room=12)]
    for model in models:
        results(Batches(range(12), SIZES, 40, model.start))
    assert models[0].begun == models[1].begun


def test_what_halving_cannot_mend_is_raised() -> None:
    with pytest.raises(MemoryError):
        results(Batches(range(12), SIZES, 40, Model(room=8).start))
    with pytest.raises(RuntimeError, match="no such token"):
        results(Batches(range(12), SIZES, 40, Model(room=8, error=RuntimeError("no such token")).start))


def test_only_a_lack_of_memory_is_taken_for_one() -> None:
    assert is_out_of_memory(RuntimeError("failed to allocated memory"))
    assert not is_out_of_memory(RuntimeError("CUDA failed with error no kernel image is available"))
