"""Exact quantiles of any number of 32-bit values, in the same memory however many there are.

A float's bits, read as a number, sort as the floats do once the negative ones are turned over. So the value of a
given rank is found digit by digit, by counting: first its upper 16 bits, then its lower 16. The values are read
once for each half and never kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

_HALF = 16
_SIGN = np.uint32(1 << 31)

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint32]
# Reads all values again, from the beginning: parts by name, no NaN among them.
ReadValues = Callable[[], Iterable[Mapping[str, npt.NDArray[np.float32]]]]


def quantiles(read: ReadValues, asked: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """For each name its quantiles, each in 0..1, interpolated as numpy's default does; of no values, none.

    `read` is called twice. All parts must hold all names that are `asked` for.
    """
    upper = {name: np.zeros(1 << _HALF, np.int64) for name in asked}
    for part in read():
        for name, counts in upper.items():
            counts += np.bincount(_keys(part[name]) >> _HALF, minlength=1 << _HALF)
    ranks = {name: _ranks(int(upper[name].sum()), asked[name]) for name in asked}
    digits = {
        name: {rank: int(np.searchsorted(np.cumsum(upper[name]), rank, "right")) for rank in ranks[name]}
        for name in asked
    }
    lower = _count_lower(read, {name: set(found.values()) for name, found in digits.items()})
    values = {
        name: {rank: _value(rank, digit, upper[name], lower[name][digit]) for rank, digit in digits[name].items()}
        for name in asked
    }
    return {name: _interpolated(values[name], int(upper[name].sum()), asked[name]) for name in asked}


def _count_lower(read: ReadValues, wanted: Mapping[str, set[int]]) -> dict[str, dict[int, Counts]]:
    """How often each lower half occurs below each upper half that is wanted."""
    lower = {name: {digit: np.zeros(1 << _HALF, np.int64) for digit in digits} for name, digits in wanted.items()}
    for part in read():
        for name, counts in lower.items():
            keys = _keys(part[name])
            for digit, count in counts.items():
                below = keys[keys >> _HALF == digit] & np.uint32((1 << _HALF) - 1)
                count += np.bincount(below, minlength=1 << _HALF)
    return lower


def _keys(values: npt.NDArray[np.float32]) -> Keys:
    """Numbers that sort as the values do; -0.0 is taken for 0.0."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.asarray(np.where(bits & _SIGN, ~bits, bits | _SIGN))


def _ranks(total: int, asked: Sequence[float]) -> set[int]:
    """Places, from 0, of the values that the quantiles lie between."""
    places = [share * (total - 1) for share in asked] if total else []
    return {min(int(place) + step, total - 1) for place in places for step in (0, 1)}


def _value(rank: int, digit: int, upper: Counts, lower: Counts) -> float:
    below = rank - int(upper[:digit].sum())
    key = np.uint32(digit << _HALF | int(np.searchsorted(np.cumsum(lower), below, "right")))
    bits = key ^ _SIGN if key & _SIGN else ~key
    return float(np.array([bits], np.uint32).view(np.float32)[0])


def _interpolated(values: Mapping[int, float], total: int, asked: Sequence[float]) -> list[float]:
    found = []
    for share in asked if total else ():
        place = share * (total - 1)
        rank = int(place)
        # Of the two values alone, numpy gives what it gives of all of them.
        pair = np.array([values[rank], values[min(rank + 1, total - 1)]])
        found.append(float(np.quantile(pair, place - rank)))
    return found
