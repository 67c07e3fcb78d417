"""Sums on their way to means: each knows over how many positions it is, so that none is divided by another's."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Sum(NamedTuple):
    """A total, a tensor of no dimension without gradient, and what it is over."""

    total: Tensor
    positions: int

    def mean(self) -> float:
        """Waits for the device."""
        return float(self.total.to(torch.float64)) / self.positions


# By name: the sums of LossSums and of online terms. What was nowhere in a batch is not there.
Sums = Mapping[str, Sum]


def added(earlier: Sums, later: Sums) -> dict[str, Sum]:
    """Name by name; a name that one of them lacks is the other's."""
    both = {
        name: Sum(earlier[name].total + later[name].total, earlier[name].positions + later[name].positions)
        for name in earlier.keys() & later.keys()
    }
    return {**earlier, **later, **both}
