"""The background thread hands on items, errors and the end, and goes when it is left."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from stages.training.batches.prefetch import Prefetcher


def test_items_come_in_order() -> None:
    with Prefetcher(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_it_stays_a_few_ahead() -> None:
    taken = []
    reached = threading.Event()

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            if number == 4:
                reached.set()
            yield number

    before = threading.active_count()
    with Prefetcher(numbers(), 3) as items:
        assert next(items) == 0
        assert reached.wait()
        # One was taken, three wait, one is in the thread's hand.
        assert max(taken) == 4
    assert threading.active_count() == before


def test_an_error_comes_in_its_place() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("here")

    with Prefetcher(broken(), 3) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="here"):
            next(items)
