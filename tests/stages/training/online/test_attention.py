"""Attention distillation against its formula, head by head and query by query."""

import pytest
import torch
from torch import Tensor

from stages.training.online.attention import HeadMixture, attention_loss, mean_head
from tests.stages.training.online.plain import LONGEST, assert_same, draw, entropy_gap, mask, places, with_gradient

HEADS = 2
KEYS = (6, 2, 4)  # lengths of what is looked at, padded to 6


def maps(logits: Tensor) -> Tensor:
    """Attention [3, H, T, 6] of logits; padded keys have probability 0."""
    allowed = torch.arange(max(KEYS)) < torch.tensor(KEYS)[:, None]
    return logits.masked_fill(~allowed[:, None, None, :], -1e18).softmax(3)


LOGITS = draw(3, HEADS, LONGEST, max(KEYS), seed=1)
TEACHER = maps(draw(3, HEADS, LONGEST, max(KEYS), seed=2))


def divergences(student: Tensor, teacher: Tensor, formula: object) -> Tensor:
    heads = student.shape[1]
    found = [
        formula(teacher[row, head, step, : KEYS[row]], student[row, head, step, : KEYS[row]])
        for row, step in places()
        for head in range(heads)
    ]
    return torch.stack(found).sum() / (len(places()) * heads)


def squares(teacher: Tensor, student: Tensor) -> Tensor:
    return sum((p - q) ** 2 for p, q in zip(teacher, student, strict=True))


FORMULAS = [("kl", entropy_gap), ("mse", squares)]


@pytest.mark.parametrize(("divergence", "formula"), FORMULAS)
def test_it_is_the_mean_over_heads_and_queries(divergence: str, formula: object) -> None:
    assert_same(
        lambda logits: attention_loss(maps(logits), TEACHER, mask(), divergence),
        lambda logits: divergences(maps(logits), TEACHER, formula),
        LOGITS,
    )


@pytest.mark.parametrize("divergence", ["kl", "mse"])
def test_padded_queries_change_neither_loss_nor_gradient(divergence: str) -> None:
    found = with_gradient(lambda logits: attention_loss(maps(logits), TEACHER, mask(), divergence), LOGITS)
    padded = ~mask()[:, None, :, None]
    other = torch.where(padded, maps(draw(*LOGITS.shape, seed=9)), TEACHER)
    changed = torch.where(padded, 30 * LOGITS, LOGITS)
    wanted = with_gradient(lambda logits: attention_loss(maps(logits), other, mask(), divergence), changed)
    torch.testing.assert_close(wanted, found)


@pytest.mark.parametrize("divergence", ["kl", "mse"])
def test_more_padded_keys_change_nothing(divergence: str) -> None:
    found = attention_loss(maps(LOGITS), TEACHER, mask(), divergence)
    wider = [torch.nn.functional.pad(each, (0, 3)) for each in (maps(LOGITS), TEACHER)]
    torch.testing.assert_close(attention_loss(*wider, mask(), divergence), found)


@pytest.mark.parametrize("divergence", ["kl", "mse"])
def test_equal_maps_cost_nothing(divergence: str) -> None:
    loss, gradient = with_gradient(
        lambda logits: attention_loss(maps(logits), maps(LOGITS), mask(), divergence), LOGITS
    )
    assert float(loss) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("divergence", "formula"), FORMULAS)
def test_the_mean_of_heads_is_compared_where_they_differ(divergence: str, formula: object) -> None:
    teacher = maps(draw(3, 3, LONGEST, max(KEYS), seed=4))
    means = (teacher[:, 0:1] + teacher[:, 1:2] + teacher[:, 2:3]) / 3
    assert_same(
        lambda logits: attention_loss(mean_head(maps(logits)), mean_head(teacher), mask(), divergence),
        lambda logits: divergences((maps(logits)[:, 0:1] + maps(logits)[:, 1:2]) / 2, means, formula),
        LOGITS,
    )


def test_a_mixture_of_heads_starts_as_their_mean_and_stays_a_distribution() -> None:
    mixture = HeadMixture(HEADS, 3).double()
    torch.testing.assert_close(mixture(TEACHER), mean_head(TEACHER).expand(-1, 3, -1, -1))
    with torch.no_grad():
        mixture.logits.copy_(draw(3, HEADS, seed=5))
    mixed = mixture(TEACHER)
    torch.testing.assert_close(mixed.sum(3), torch.ones_like(mixed[..., 0]))
    weights = mixture.logits.detach().exp()
    wanted = (weights[1, 0] * TEACHER[:, 0] + weights[1, 1] * TEACHER[:, 1]) / weights[1].sum()
    torch.testing.assert_close(mixed[:, 1], wanted)


def plain_mixture(logits: Tensor, student: Tensor) -> Tensor:
    """Each head of the teacher's as a weighted sum of the student's, weights exp(logit) over their sum."""
    mixed = []
    for head in logits:
        whole = sum(each.exp() for each in head)
        mixed.append(sum(each.exp() / whole * student[:, number] for number, each in enumerate(head)))
    return torch.stack(mixed, 1)


def through_a_mixture(logits: Tensor, student: Tensor, teacher: Tensor, divergence: str) -> Tensor:
    mixed = torch.func.functional_call(HeadMixture(HEADS, 3).double(), {"logits": logits}, (student,))
    return attention_loss(mixed, teacher, mask(), divergence)


@pytest.mark.parametrize(("divergence", "formula"), FORMULAS)
def test_a_mixture_of_heads_and_what_is_before_it_learn_by_the_formula(divergence: str, formula: object) -> None:
    teacher = maps(draw(3, 3, LONGEST, max(KEYS), seed=4))
    weights = draw(3, HEADS, seed=5)
    assert_same(
        lambda logits: through_a_mixture(weights, maps(logits), teacher, divergence),
        lambda logits: divergences(plain_mixture(weights, maps(logits)), teacher, formula),
        LOGITS,
    )
    assert_same(
        lambda logits: through_a_mixture(logits, maps(LOGITS), teacher, divergence),
        lambda logits: divergences(plain_mixture(logits, maps(LOGITS)), teacher, formula),
        weights,
    )


def test_a_mixture_of_heads_learns_which_head_is_which() -> None:
    """A teacher whose heads are the student's in another order is matched by a mixture, and by no mean."""
    student, teacher = maps(3 * LOGITS), maps(3 * LOGITS)[:, [1, 0, 1]]
    mixture = HeadMixture(HEADS, 3).double()
    optimiser = torch.optim.Adam(mixture.parameters(), lr=0.2)
    first = float(attention_loss(mixture(student), teacher, mask(), "kl").detach())
    for _ in range(100):
        optimiser.zero_grad()
        attention_loss(mixture(student), teacher, mask(), "kl").backward()
        optimiser.step()
    assert float(attention_loss(mixture(student), teacher, mask(), "kl").detach()) < 0.05 * first
    assert mixture.logits.argmax(1).tolist() == [1, 0, 1]
