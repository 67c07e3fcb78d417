"""What the oracles share: random float64 tensors, and a loss with its gradient."""

from collections.abc import Callable

import torch
from torch import Tensor

# Three sentences of 4, 1 and 3 positions, padded to 5.
LENGTHS = (4, 1, 3)
LONGEST = 5


def mask() -> Tensor:
    return torch.arange(LONGEST) < torch.tensor(LENGTHS)[:, None]


def places() -> list[tuple[int, int]]:
    """Sentence and position of all that is no padding."""
    return [(row, step) for row, length in enumerate(LENGTHS) for step in range(length)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_gradient(loss: Callable[[Tensor], Tensor], student: Tensor) -> tuple[Tensor, Tensor]:
    """The loss at these student's values, and its gradient to them."""
    leaf = student.clone().requires_grad_()
    value = loss(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def assert_same(found: Callable[[Tensor], Tensor], wanted: Callable[[Tensor], Tensor], student: Tensor) -> None:
    """Two losses agree in value and gradient."""
    for one, other in zip(with_gradient(found, student), with_gradient(wanted, student), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert float(with_gradient(wanted, student)[0]) > 0


def entropy_gap(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) of two distributions [n], entry by entry."""
    terms = [p * (p.log() - q.log()) for p, q in zip(teacher, student, strict=True) if p > 0]
    return torch.stack(terms).sum()
