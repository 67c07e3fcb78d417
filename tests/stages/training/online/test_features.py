"""Feature distillation against its formula, position by position."""

import pytest
import torch
from torch import Tensor

from stages.training.online.compare import feature_loss, projection
from tests.stages.training.online.plain import LONGEST, assert_same, draw, mask, places, with_gradient

STUDENT, TEACHER = draw(3, LONGEST, 6, seed=1), draw(3, LONGEST, 6, seed=2)


def squared(ours: Tensor, theirs: Tensor) -> Tensor:
    return sum((ours[d] - theirs[d]) ** 2 for d in range(len(ours))) / len(ours)


def one_less_cosine(ours: Tensor, theirs: Tensor) -> Tensor:
    return 1 - (ours @ theirs) / ((ours @ ours).sqrt() * (theirs @ theirs).sqrt())


@pytest.mark.parametrize(("distance", "formula"), [("mse", squared), ("cosine", one_less_cosine)])
def test_it_is_the_mean_over_positions_that_are_no_padding(distance: str, formula: object) -> None:
    assert_same(
        lambda student: feature_loss(student, TEACHER, mask(), distance),
        lambda student: sum(formula(student[at], TEACHER[at]) for at in places()) / len(places()),
        STUDENT,
    )


@pytest.mark.parametrize("distance", ["mse", "cosine"])
def test_padding_changes_neither_loss_nor_gradient(distance: str) -> None:
    found = with_gradient(lambda student: feature_loss(student, TEACHER, mask(), distance), STUDENT)
    other = torch.where(mask()[:, :, None], TEACHER, 1e6)
    changed = torch.where(mask()[:, :, None], STUDENT, -1e6)
    wanted = with_gradient(lambda student: feature_loss(student, other, mask(), distance), changed)
    torch.testing.assert_close(wanted, found)
    assert not found[1][~mask()].any()


@pytest.mark.parametrize("distance", ["mse", "cosine"])
def test_equal_states_cost_nothing(distance: str) -> None:
    loss, gradient = with_gradient(lambda student: feature_loss(student, STUDENT, mask(), distance), STUDENT)
    assert float(loss) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_a_projection_leads_to_the_teachers_width_and_learns() -> None:
    torch.manual_seed(0)
    layer = projection(6, 9).double()
    wide = draw(3, LONGEST, 9, seed=3)
    loss = feature_loss(layer(STUDENT), wide, mask(), "mse")
    loss.backward()
    # The gradient of a linear map's squared error, written out.
    ours = torch.stack([STUDENT[at] for at in places()])
    theirs = torch.stack([wide[at] for at in places()])
    error = ours @ layer.weight.detach().t() - theirs
    torch.testing.assert_close(layer.weight.grad, 2 * error.t() @ ours / error.numel())
