"""MiniLMv2's relations against their formula, pair of positions by pair of positions."""

import pytest
import torch
from torch import Tensor

from stages.training.online.relations import relation_loss
from tests.stages.training.online.plain import (
    LENGTHS,
    LONGEST,
    assert_same,
    draw,
    entropy_gap,
    mask,
    places,
    with_gradient,
)

# 12 = 3 heads of 4 in one model and 2 of 6 in the other, regrouped into 4 of 3; the teacher's 20 into 4 of 5.
STUDENT, TEACHER = draw(3, LONGEST, 12, seed=1), draw(3, LONGEST, 20, seed=2)
HEADS = 4


def relation(vectors: Tensor, row: int, head: int, step: int, causal: bool) -> Tensor:
    """How one position of one regrouped head is related to the positions that it may see."""
    size = vectors.shape[2] // HEADS
    part = vectors[row, :, head * size : (head + 1) * size]
    seen = range(step + 1) if causal else range(LENGTHS[row])
    powers = torch.stack(
        [(sum(part[step, d] * part[other, d] for d in range(size)) / size**0.5).exp() for other in seen]
    )
    return powers / powers.sum()


def plain(student: Tensor, teacher: Tensor, causal: bool) -> Tensor:
    gaps = [
        entropy_gap(relation(teacher, row, head, step, causal), relation(student, row, head, step, causal))
        for row, step in places()
        for head in range(HEADS)
    ]
    return torch.stack(gaps).sum() / (len(places()) * HEADS)


@pytest.mark.parametrize("causal", [False, True])
def test_it_is_the_mean_divergence_of_regrouped_relations(causal: bool) -> None:
    assert_same(
        lambda student: relation_loss(student, TEACHER, mask(), HEADS, causal=causal),
        lambda student: plain(student, TEACHER, causal),
        STUDENT,
    )


@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_neither_loss_nor_gradient(causal: bool) -> None:
    found = with_gradient(lambda student: relation_loss(student, TEACHER, mask(), HEADS, causal=causal), STUDENT)
    other = torch.where(mask()[:, :, None], TEACHER, 50.0)
    changed = torch.where(mask()[:, :, None], STUDENT, -50.0)
    wanted = with_gradient(lambda student: relation_loss(student, other, mask(), HEADS, causal=causal), changed)
    torch.testing.assert_close(wanted, found)


def test_equal_relations_cost_nothing_whatever_the_width() -> None:
    """A rotation of each head's vectors leaves all products as they are."""
    turned = STUDENT.unflatten(2, (HEADS, 3)) @ torch.linalg.qr(draw(3, 3, seed=3))[0]
    wide = torch.cat([turned, torch.zeros_like(turned)], 3) * 2**0.25  # twice as wide: the scale is its root
    loss, gradient = with_gradient(
        lambda student: relation_loss(student, wide.flatten(2), mask(), HEADS, causal=False), STUDENT
    )
    assert float(loss) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
