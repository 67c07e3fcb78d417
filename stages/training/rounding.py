"""Weights as an export in int8 rounds them, in the forward pass alone: the gradient goes straight through.

https://arxiv.org/abs/1308.3432 for the estimator. What is rounded, and how, is CTranslate2's: every matrix, a row at a
time, to whole multiples of the row's largest entry / 127. Activations, which it rounds as well, stay as they are.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_LEVELS = 127


def rounded(weight: Tensor) -> Tensor:
    """A matrix [N, D] as int8 has it, in its own precision."""
    largest = weight.abs().amax(1, keepdim=True)
    scale = torch.where(largest > 0, _LEVELS / largest, torch.ones_like(largest))
    return torch.round(weight * scale) / scale


@contextmanager
def rounding(parameters: Iterable[torch.nn.Parameter]) -> Iterator[None]:
    """Within it all matrices among the parameters are rounded; afterwards they are what they were."""
    matrices = [parameter for parameter in parameters if parameter.dim() == 2]
    exact = [matrix.data for matrix in matrices]
    try:
        for matrix in matrices:
            matrix.data = rounded(matrix.data)
        yield
    finally:
        for matrix, value in zip(matrices, exact, strict=True):
            matrix.data = value
