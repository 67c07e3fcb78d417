"""Where in a row of rows something is wrong: the stretch that speaks most clearly for it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Stretch(NamedTuple):
    """Rows from `begin` to before `end`, and how much they speak for it, in nats."""

    begin: int
    end: int
    evidence: float

    @property
    def rows(self) -> slice:
        """As an index."""
        return slice(self.begin, self.end)


def evidence(found: npt.NDArray[np.int8], where_wrong: float, where_right: float) -> Array:
    """By row how much more probable it is where something is wrong than where all is right, in nats, [rows].

    `found`: 1 for a sign that something is wrong, -1 for the contrary, 0 for neither. The two shares are how many of
    the first two are signs, where something is wrong and where all is right.
    """
    sign, none = np.log(where_wrong / where_right), np.log((1 - where_wrong) / (1 - where_right))
    return np.asarray(np.select([found > 0, found < 0], [sign, none], 0.0))


def clearest(by_row: Array) -> Stretch:
    """The stretch with the largest sum, by Kadane's algorithm; an empty one where no sum is above 0."""
    sums = np.concatenate([[0.0], np.cumsum(by_row)])
    rises = sums - np.minimum.accumulate(sums)
    end = int(np.argmax(rises))
    begin = int(np.argmin(sums[: end + 1]))
    return Stretch(begin, end, float(rises[end]))
