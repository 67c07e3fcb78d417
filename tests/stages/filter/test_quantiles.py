"""Quantiles by counting, against numpy's over all values at once."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.filter.quantiles import quantiles

Values = npt.NDArray[np.float32]


def in_parts(**values: Values) -> Iterator[Mapping[str, Values]]:
    parts = {name: np.array_split(column, 3) for name, column in values.items()}
    return ({name: part[number] for name, part in parts.items()} for number in range(3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1), st.floats(0, 1))
def test_any_quantile_of_any_values_is_numpys(values: list[float], share: float) -> None:
    column = np.array(values, dtype=np.float32)
    found = quantiles(lambda: in_parts(column=column), {"column": [0.0, share, 1.0]})["column"]
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.quantile(column.astype(np.float64), [0.0, share, 1.0])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_many_values_of_two_columns_with_ties() -> None:
    random = np.random.default_rng(1)
    columns = {
        "normal": random.normal(size=30_000).astype(np.float32),
        "whole": random.integers(-3, 3, 30_000).astype(np.float32),
    }
    asked = {"normal": [0.01, 0.5, 0.99], "whole": [0.25, 0.75]}
    found = quantiles(lambda: in_parts(**columns), asked)
    for name, shares in asked.items():
        assert found[name] == pytest.approx(np.quantile(columns[name].astype(np.float64), shares), rel=1e-12)


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantiles(lambda: in_parts(column=np.zeros(0, np.float32)), {"column": [0.5]}) == {"column": []}
