"""InfoNCE against its formula, sentence by sentence."""

import pytest
import torch
from torch import Tensor

from stages.training.online.sentences import contrastive_loss
from tests.stages.training.online.plain import assert_same, draw, with_gradient

COUNT, TEMPERATURE = 4, 0.3
STUDENT, TEACHER = draw(COUNT, 5, seed=1), draw(COUNT, 5, seed=2)


def plain(student: Tensor, teacher: Tensor) -> Tensor:
    losses = []
    for own in range(COUNT):
        powers = [
            ((student[own] @ other) / ((student[own] @ student[own]) * (other @ other)).sqrt() / TEMPERATURE).exp()
            for other in teacher
        ]
        losses.append(-(powers[own] / sum(powers)).log())
    return sum(losses) / COUNT


def test_each_sentence_is_told_from_all_of_its_batch() -> None:
    assert_same(
        lambda student: contrastive_loss(student, TEACHER, TEMPERATURE),
        lambda student: plain(student, TEACHER),
        STUDENT,
    )


def test_one_sentence_costs_nothing() -> None:
    value, gradient = with_gradient(lambda student: contrastive_loss(student, TEACHER[:1], TEMPERATURE), STUDENT[:1])
    assert float(value) == 0
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_states_at_right_angles_are_told_apart_by_their_temperature() -> None:
    teacher = torch.eye(COUNT, dtype=torch.float64)
    wanted = torch.log(1 + (COUNT - 1) * torch.exp(torch.tensor(-1 / TEMPERATURE, dtype=torch.float64)))
    assert float(contrastive_loss(5 * teacher, teacher, TEMPERATURE)) == pytest.approx(float(wanted))
