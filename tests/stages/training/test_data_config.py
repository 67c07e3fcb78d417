"""Shares of the data as a recipe says them, against the step-by-step definition."""

import itertools

import pytest

from stages.training.data_config import Data, kinds_of, shares_of, step_without_data
from stages.training.schedules import Schedule, value_at


def test_a_kind_without_share_is_not_read() -> None:
    data: Data = {"hypothesis": 1.0, "reference": 0.0}
    assert kinds_of(data) == ("hypothesis",)
    assert shares_of(data) == {"hypothesis": 1.0}
    assert shares_of("nbest") == {"nbest": 1.0}


SHARES = [
    1.0,
    Schedule(start=1, end=0, until=5),
    Schedule(start=1, end=0, begin=4, until=9, course="cosine"),
    Schedule(start=0, end=1, begin=5, until=8),
    Schedule(start=0, end=2, begin=3, until=7, course="step"),
]


@pytest.mark.parametrize(("one", "other"), itertools.product(SHARES, SHARES))
@pytest.mark.parametrize(("first", "last"), [(1, 12), (3, 6), (7, 7)])
def test_a_step_without_data_is_found_wherever_there_is_one(
    one: float | Schedule, other: float | Schedule, first: int, last: int
) -> None:
    empty = [step for step in range(first, last + 1) if not value_at(one, step) + value_at(other, step)]
    assert step_without_data({"hypothesis": one, "reference": other}, first, last) == (empty[0] if empty else None)
