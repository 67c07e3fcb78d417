"""Relational distillation against the formulas of the paper, pair by pair and triplet by triplet."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from stages.training.online.positions import sentence_states
from stages.training.online.sentences import angle_loss, distance_loss, evenly
from tests.stages.training.online.plain import LENGTHS, LONGEST, assert_same, draw, mask, with_gradient

COUNT = 5
STUDENT, TEACHER = 2 * draw(COUNT, 4, seed=1), draw(COUNT, 7, seed=2)


def huber(one: Tensor, other: Tensor) -> Tensor:
    gap = (one - other).abs()
    return gap**2 / 2 if gap <= 1 else gap - 0.5


def length(vector: Tensor) -> Tensor:
    return (vector @ vector).sqrt()


def plain_distance(student: Tensor, teacher: Tensor) -> Tensor:
    pairs = list(permutations(range(len(student)), 2))
    scaled = []
    for states in (student, teacher):
        distances = [length(states[i] - states[j]) for i, j in pairs]
        mean = sum(distances) / len(distances)
        scaled.append([distance / mean for distance in distances])
    return sum(huber(ours, theirs) for ours, theirs in zip(*scaled, strict=True)) / len(pairs)


def cosine(states: Tensor, i: int, j: int, k: int) -> Tensor:
    one, other = states[i] - states[j], states[k] - states[j]
    return (one @ other) / (length(one) * length(other))


def plain_angle(student: Tensor, teacher: Tensor) -> Tensor:
    triplets = list(permutations(range(len(student)), 3))
    return sum(huber(cosine(student, *each), cosine(teacher, *each)) for each in triplets) / len(triplets)


@pytest.mark.parametrize(("loss", "formula"), [(distance_loss, plain_distance), (angle_loss, plain_angle)])
def test_it_is_hubers_loss_between_relations(loss: object, formula: object) -> None:
    assert_same(lambda student: loss(student, TEACHER), lambda student: formula(student, TEACHER), STUDENT)


@pytest.mark.parametrize("loss", [distance_loss, angle_loss])
def test_a_turned_moved_and_scaled_teacher_costs_nothing(loss: object) -> None:
    same = 3 * STUDENT @ torch.linalg.qr(draw(4, 4, seed=3))[0] + 5
    value, gradient = with_gradient(lambda student: loss(student, same), STUDENT)
    assert float(value) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


@pytest.mark.parametrize("loss", [distance_loss, angle_loss])
@pytest.mark.parametrize("count", [1, 2])
def test_too_few_sentences_cost_nothing(loss: object, count: int) -> None:
    value, gradient = with_gradient(lambda student: loss(student, TEACHER[:count]), STUDENT[:count])
    assert float(value) == 0 and not gradient.any()


@pytest.mark.parametrize("loss", [distance_loss, angle_loss])
def test_equal_sentences_leave_the_gradient_finite(loss: object) -> None:
    twice = torch.cat([STUDENT, STUDENT[:1]])
    value, gradient = with_gradient(lambda student: loss(student, torch.cat([TEACHER, TEACHER[:1]])), twice)
    assert value.isfinite() and gradient.isfinite().all()


def test_a_sentences_state_is_the_mean_of_its_positions_without_padding() -> None:
    states = draw(3, LONGEST, 4, seed=5)
    wanted = torch.stack([states[row, :length].mean(0) for row, length in enumerate(LENGTHS)])
    torch.testing.assert_close(sentence_states(states, mask()), wanted)
    changed = torch.where(mask()[:, :, None], states, 1e9)
    torch.testing.assert_close(sentence_states(changed, mask()), wanted)


def test_sentences_of_a_large_batch_are_chosen_evenly() -> None:
    assert evenly(3, 4, torch.device("cpu")).tolist() == [0, 1, 2]
    assert evenly(9, 3, torch.device("cpu")).tolist() == [0, 3, 6]
    assert evenly(10, 4, torch.device("cpu")).tolist() == [0, 2, 5, 7]
