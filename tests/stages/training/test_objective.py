"""The loss and its gradient against dense distributions in float64, differentiated by torch.autograd."""

import itertools
from typing import get_args

import pytest
import torch
from torch import Tensor

from stages.training.objective import MissingMass, Objective, SoftTargets, loss_sums

N, D, V, K = 9, 5, 23, 4
EVERY = list(itertools.product(get_args(MissingMass), (1.0, 2.5), (0.0, 0.1), (0.0, 0.7), (1.0, 0.3)))


def random_layer(dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (N, D), (V, D), (V,)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)


def random_teacher(sharpness: float = 2.0) -> tuple[Tensor, SoftTargets, Tensor]:
    """Targets, soft targets, and the teacher's whole distribution [N, V] that they are taken from."""
    generator = torch.Generator().manual_seed(7)
    log_probs = torch.log_softmax(sharpness * torch.randn(N, V, generator=generator, dtype=torch.float64), 1)
    kept = log_probs.topk(K, 1)
    tail = log_probs.scatter(1, kept.indices, -torch.inf).logsumexp(1)
    targets = torch.randint(V, (N,), generator=generator)
    targets[::2] = kept.indices[::2, 1]  # every other target is among the kept entries
    return targets, SoftTargets(kept.indices, kept.values, tail), log_probs


def dense_divergence(logits: Tensor, targets: Tensor, soft: SoftTargets, objective: Objective) -> Tensor:
    """Sum of KL over positions, written down as the module's docstring defines it."""
    tau = objective.temperature
    if objective.missing_mass == "ghost":
        others = torch.ones(N, V, dtype=torch.bool).scatter(1, soft.ids, False)
        log_probs = torch.log_softmax(logits, 1)
        rest = torch.stack([row[keep].logsumexp(0) for row, keep in zip(log_probs, others, strict=True)])
        student = torch.log_softmax(torch.cat([log_probs.gather(1, soft.ids), rest[:, None]], 1) / tau, 1)
        teacher = torch.softmax(torch.cat([soft.log_probs, soft.tail[:, None]], 1) / tau, 1)
    else:
        teacher = torch.zeros(N, V, dtype=torch.float64).scatter(1, soft.ids, soft.log_probs.exp())
        if objective.missing_mass == "gold":
            teacher[torch.arange(N), targets] += soft.tail.exp()
        teacher = teacher ** (1 / tau)
        teacher = teacher / teacher.sum(1, keepdim=True)
        student = torch.log_softmax(logits / tau, 1)
    return torch.special.xlogy(teacher, teacher).sum() - (teacher * student).sum()


@pytest.mark.parametrize(("missing_mass", "tau", "smoothing", "soft_weight", "hard_weight"), EVERY)
def test_loss_and_gradient_are_those_of_dense_distributions(
    missing_mass: MissingMass, tau: float, smoothing: float, soft_weight: float, hard_weight: float
) -> None:
    layer = [tensor.requires_grad_() for tensor in random_layer()]
    targets, soft, _ = random_teacher()
    objective = Objective(smoothing, hard_weight, soft_weight, tau, missing_mass)
    logits = torch.nn.functional.linear(*layer)
    hard = torch.nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    kl = dense_divergence(logits, targets, soft, objective)
    expected = hard_weight * hard + soft_weight * tau**2 * kl

    sums = loss_sums(*layer, targets, soft, objective)

    torch.testing.assert_close(sums.loss, expected)
    gradients = zip(torch.autograd.grad(sums.loss, layer), torch.autograd.grad(expected, layer), strict=True)
    for found, wanted in gradients:
        torch.testing.assert_close(found, wanted)
    if soft_weight:
        torch.testing.assert_close(sums.divergence, kl.detach())


def test_sums_for_the_eye_are_unsmoothed_and_unweighted() -> None:
    layer = random_layer()
    targets, soft, _ = random_teacher()
    logits = torch.nn.functional.linear(*layer)

    sums = loss_sums(*layer, targets, soft, Objective(0.2, 0.3, 0.4))

    torch.testing.assert_close(sums.cross_entropy, torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    assert int(sums.correct) == int((logits.argmax(1) == targets).sum())


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = [tensor.requires_grad_() for tensor in random_layer()]
    targets, soft, _ = random_teacher()
    objective = Objective(0.1, 1.0, 0.5)
    whole = loss_sums(*layer, targets, soft, objective).loss
    monkeypatch.setattr("stages.training.objective._CHUNK_ELEMENTS", 1)
    monkeypatch.setattr("stages.training.objective._CHUNK_ROWS", 2)

    parts = loss_sums(*layer, targets, soft, objective).loss

    torch.testing.assert_close(parts, whole)
    for found, wanted in zip(torch.autograd.grad(parts, layer), torch.autograd.grad(whole, layer), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_ghost_divergence_is_zero_when_the_student_is_the_teacher(tau: float) -> None:
    targets, soft, log_probs = random_teacher()
    hidden = torch.eye(N, dtype=torch.float64).requires_grad_()  # so that logits are the teacher's log-probabilities

    sums = loss_sums(
        hidden, log_probs.t(), torch.zeros(V, dtype=torch.float64), targets, soft, Objective(0, 0.0, 1.0, tau)
    )

    torch.testing.assert_close(sums.divergence, torch.zeros((), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(sums.loss, hidden)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_a_rest_of_tiny_mass_stays_exact_in_float32() -> None:
    # The student's kept entries hold all but about exp(-30): 1 - their sum would be 0 in float32.
    targets, soft, _ = random_teacher()
    logits = 0.1 * torch.randn(N, V, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    logits = logits.scatter_add(1, soft.ids, torch.full((N, K), 30.0, dtype=torch.float64)).requires_grad_()
    identity = torch.eye(N, dtype=torch.float64)
    objective = Objective(0.0, 0.0, 1.0)
    kl = dense_divergence(logits, targets, soft, objective)
    (wanted,) = torch.autograd.grad(kl, logits)

    single = logits.detach().t().float().requires_grad_()
    sums = loss_sums(identity.float(), single, torch.zeros(V), targets, soft, objective)

    torch.testing.assert_close(sums.loss.double(), kl.detach(), rtol=1e-5, atol=1e-5)
    (found,) = torch.autograd.grad(sums.loss, single)
    torch.testing.assert_close(found.t().double(), wanted, rtol=1e-4, atol=1e-6)


def test_a_tail_without_mass_gives_numbers() -> None:
    targets, soft, _ = random_teacher()
    layer = [tensor.float().requires_grad_() for tensor in random_layer()]
    empty = SoftTargets(soft.ids, soft.log_probs, torch.full((N,), -torch.inf))
    for missing_mass in get_args(MissingMass):
        sums = loss_sums(*layer, targets, empty, Objective(0.1, 1.0, 0.5, 1.0, missing_mass))
        gradients = torch.autograd.grad(sums.loss, layer)
        assert all(bool(value.isfinite().all()) for value in (sums.loss, *gradients)), missing_mass


def test_a_rest_without_mass_gives_numbers() -> None:
    targets, soft, _ = random_teacher()
    logits = torch.zeros(N, V).scatter(1, soft.ids, 500.0).t().contiguous().requires_grad_()
    sums = loss_sums(torch.eye(N), logits, torch.zeros(V), targets, soft, Objective(0.1, 1.0, 0.5))
    (gradient,) = torch.autograd.grad(sums.loss, logits)
    assert bool(sums.loss.isfinite())
    assert bool(gradient.isfinite().all())


def test_bfloat16_products_stay_close() -> None:
    layer = [tensor.float().requires_grad_() for tensor in random_layer()]
    targets, soft, _ = random_teacher()
    objective = Objective(0.1, 1.0, 0.5)

    exact = loss_sums(*layer, targets, soft, objective)
    rough = loss_sums(*layer, targets, soft, objective, torch.bfloat16)

    torch.testing.assert_close(rough.loss, exact.loss, rtol=0.01, atol=0)
    pairs = zip(torch.autograd.grad(rough.loss, layer), torch.autograd.grad(exact.loss, layer), strict=True)
    for found, wanted in pairs:
        assert found.dtype == torch.float32
        assert float((found - wanted).norm() / wanted.norm()) < 0.02


def test_without_gradient_nothing_is_kept() -> None:
    targets, soft, _ = random_teacher()
    with torch.no_grad():
        sums = loss_sums(*random_layer(), targets, soft, Objective(0.1, 1.0, 0.5))
    assert not sums.loss.requires_grad
