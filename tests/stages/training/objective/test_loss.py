"""The loss and its gradient against dense distributions in float64, differentiated by torch.autograd."""

import itertools
import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from data.errors import DataError
from stages.training.objective.loss import LossSums, Objective, hardest_positions, loss_sums
from stages.training.objective.teacher_distribution import MissingMass, SampledTargets, SoftTargets, Tempering

N, D, V, K = 9, 5, 23, 4
TAUS = (1.0, 2.5)
EVERY = list(itertools.product(get_args(MissingMass), get_args(Tempering), TAUS, (0.0, 0.1), (0.0, 0.7), (1.0, 0.3)))


def random_layer(dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (N, D), (V, D), (V,)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)


def random_teacher(sharpness: float = 2.0, tau: float = 1.0) -> tuple[Tensor, SoftTargets, Tensor]:
    """Targets, soft targets, and the teacher's whole distribution [N, V] that they are taken from."""
    generator = torch.Generator().manual_seed(7)
    log_probs = torch.log_softmax(sharpness * torch.randn(N, V, generator=generator, dtype=torch.float64), 1)
    kept = log_probs.topk(K, 1)
    tails = [each.scatter(1, kept.indices, -torch.inf).logsumexp(1) for each in (log_probs, tempered(log_probs, tau))]
    targets = torch.randint(V, (N,), generator=generator)
    targets[::2] = kept.indices[::2, 1]  # every other target is among the kept entries
    return targets, SoftTargets(kept.indices, kept.values, *tails), log_probs


def tempered(log_probs: Tensor, tau: float) -> Tensor:
    return torch.log_softmax(log_probs / tau, 1)


def in_buckets(log_probs: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities [N, K + 1] of these entries and of all others together."""
    rest = log_probs.exp().scatter(1, ids, 0.0).sum(1, keepdim=True)
    return torch.cat([log_probs.gather(1, ids), rest.log()], 1)


def dense_divergence(logits: Tensor, targets: Tensor, soft: SoftTargets, full: Tensor, objective: Objective) -> Tensor:
    """KL [N], written down as teacher_distribution's docstring defines it; `full` [N, V] is the whole teacher."""
    tau, before = objective.temperature, objective.tempering == "exact"
    teacher, student = (tempered(each, tau) if before else torch.log_softmax(each, 1) for each in (full, logits))
    if objective.missing_mass == "ghost":
        teacher, student = (in_buckets(each, soft.ids) for each in (teacher, student))
        if not before:
            teacher, student = tempered(teacher, tau), tempered(student, tau)
        return torch.nn.functional.kl_div(student, teacher, log_target=True, reduction="none").sum(1)
    mass = torch.zeros(N, V, dtype=torch.float64).scatter(1, soft.ids, teacher.exp().gather(1, soft.ids))
    if objective.missing_mass == "gold":
        mass[torch.arange(N), targets] += teacher.exp().scatter(1, soft.ids, 0.0).sum(1)
    if not before:
        mass = mass ** (1 / tau)
    mass = mass / mass.sum(1, keepdim=True)
    return (torch.special.xlogy(mass, mass) - mass * tempered(logits, tau)).sum(1)


def check(sums: LossSums, expected: Tensor, layer: Sequence[Tensor]) -> None:
    """Loss and gradient are those that autograd makes of the plain formula."""
    torch.testing.assert_close(sums.loss, expected)
    gradients = zip(torch.autograd.grad(sums.loss, layer), torch.autograd.grad(expected, layer), strict=True)
    for found, wanted in gradients:
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("missing_mass", "tempering", "tau", "smoothing", "soft_weight", "hard_weight"), EVERY)
def test_loss_and_gradient_are_those_of_dense_distributions(
    missing_mass: MissingMass, tempering: Tempering, tau: float, smoothing: float, soft_weight: float,
    hard_weight: float,
) -> None:  # fmt: skip
    layer = [tensor.requires_grad_() for tensor in random_layer()]
    targets, soft, full = random_teacher(tau=tau)
    objective = Objective(smoothing, hard_weight, soft_weight, tau, missing_mass, tempering)
    logits = torch.nn.functional.linear(*layer)
    hard = torch.nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    kl = dense_divergence(logits, targets, soft, full, objective).sum()

    sums = loss_sums(*layer, targets, soft, objective)

    check(sums, hard_weight * hard + soft_weight * tau**2 * kl, layer)
    if soft_weight:
        torch.testing.assert_close(sums.divergence, kl.detach())


@pytest.mark.parametrize("missing_mass", get_args(MissingMass))
@pytest.mark.parametrize(("share", "taken"), [(0.05, 1), (0.5, 5), (2 / 3, 6), (0.99, 9)])
@pytest.mark.parametrize("hard_weight", [1.0, 0.0])
def test_the_hardest_positions_alone_take_part_in_the_divergence(
    missing_mass: MissingMass, share: float, taken: int, hard_weight: float
) -> None:
    layer = [tensor.requires_grad_() for tensor in random_layer()]
    targets, soft, full = random_teacher(tau=2.5)
    objective = Objective(0.1, hard_weight, 0.5, 2.5, missing_mass, "exact", share)
    logits = torch.nn.functional.linear(*layer)
    hard = torch.nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    chosen = sorted(range(N), key=lambda place: -float(losses.detach()[place]))[:taken]
    mean = dense_divergence(logits, targets, soft, full, objective)[chosen].mean()

    sums = loss_sums(*layer, targets, soft, objective)

    check(sums, hard_weight * hard + 0.5 * 2.5**2 * N * mean, layer)
    torch.testing.assert_close(sums.divergence, N * mean.detach())
    torch.testing.assert_close(sums.cross_entropy, losses.sum().detach())


def test_of_positions_equally_hard_the_earlier_are_taken() -> None:
    losses = torch.tensor([1.0, 2.0, 2.0, 1.0, 1.0])
    assert hardest_positions(losses, 0.6).tolist() == [1, 2, 0]
    assert hardest_positions(losses, 0.2).tolist() == [1]


def random_counts(draws: int, generator: torch.Generator) -> Tensor:
    """Counts [N, V] of draws from the teacher."""
    drawn = torch.multinomial(random_teacher()[2].exp(), draws, replacement=True, generator=generator)
    return torch.zeros(N, V, dtype=torch.int32).scatter_add(1, drawn, torch.ones_like(drawn, dtype=torch.int32))


def as_targets(counts: Tensor) -> SampledTargets:
    """The counts above 0, first in their rows, then padding; and the teacher's entropy."""
    order = torch.argsort(counts, 1, descending=True)[:, : int((counts > 0).sum(1).max())]
    kept = counts.gather(1, order)
    full = random_teacher()[2]
    return SampledTargets(torch.where(kept > 0, order, 0), kept, -(full.exp() * full).sum(1))


@pytest.mark.parametrize(("soft_weight", "hard_weight", "share"), [(0.7, 1.0, 1.0), (0.7, 0.0, 1.0), (0.7, 1.0, 0.5)])
def test_sampled_soft_targets_are_the_counts_divided_by_the_draws(
    soft_weight: float, hard_weight: float, share: float
) -> None:
    layer = [tensor.requires_grad_() for tensor in random_layer()]
    targets, _, full = random_teacher()
    counts = random_counts(12, torch.Generator().manual_seed(3))
    logits = torch.nn.functional.linear(*layer)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    chosen = torch.argsort(losses, descending=True)[: math.ceil(share * N)]
    cross = -(counts / 12 * torch.log_softmax(logits, 1)).sum(1)
    kl = cross + (full.exp() * full).sum(1)

    sums = loss_sums(*layer, targets, as_targets(counts), Objective(0.0, hard_weight, soft_weight, hardest=share))

    check(sums, hard_weight * losses.sum() + soft_weight * N * kl[chosen].mean(), layer)
    torch.testing.assert_close(sums.divergence, N * kl[chosen].mean().detach())


def test_the_mean_gradient_of_many_draws_is_that_of_the_whole_distribution() -> None:
    targets, _, full = random_teacher()
    logits = torch.randn(N, V, generator=torch.Generator().manual_seed(5), dtype=torch.float64).t().requires_grad_()
    identity, bias = torch.eye(N, dtype=torch.float64), torch.zeros(V, dtype=torch.float64)
    generator, objective, repeats = torch.Generator().manual_seed(1), Objective(0.0, 0.0, 1.0), 400
    found, values = torch.zeros(V, N, dtype=torch.float64), []
    for _ in range(repeats):
        sums = loss_sums(identity, logits, bias, targets, as_targets(random_counts(8, generator)), objective)
        found += torch.autograd.grad(sums.loss, logits)[0] / repeats
        values.append(float(sums.divergence))
    kl = torch.nn.functional.kl_div(torch.log_softmax(logits.t(), 1), full, log_target=True, reduction="sum")
    (wanted,) = torch.autograd.grad(kl, logits)

    # Of a position's estimate: the mean over 3,200 draws of a distribution whose variance is below 1.
    assert float((found - wanted).abs().max()) < 5 * 0.5 / math.sqrt(8 * repeats)
    assert float((found - wanted).norm() / wanted.norm()) < 0.06
    assert sum(values) / repeats == pytest.approx(float(kl), rel=0.03)


def test_what_a_temperature_needs_is_asked_for() -> None:
    targets, soft, _ = random_teacher()
    layer = random_layer()
    unknown = soft._replace(tempered_tail=None)
    for missing_mass in ("ghost", "gold"):
        with pytest.raises(
            DataError, match=r"tail's mass at temperature 2: score again with score\.temperatures = \[2\]"
        ):
            loss_sums(*layer, targets, unknown, Objective(0.0, 1.0, 1.0, 2.0, missing_mass))
    for missing_mass, tempering in (("renormalise", "exact"), ("ghost", "buckets"), ("gold", "buckets")):
        assert loss_sums(*layer, targets, unknown, Objective(0.0, 1.0, 1.0, 2.0, missing_mass, tempering)).loss > 0
    sampled = as_targets(random_counts(5, torch.Generator().manual_seed(1)))
    with pytest.raises(DataError, match="drawn at temperature 1 and estimate no other, found 2"):
        loss_sums(*layer, targets, sampled, Objective(0.0, 1.0, 1.0, 2.0))


def test_sums_for_the_eye_are_unsmoothed_and_unweighted() -> None:
    layer = random_layer()
    targets, soft, _ = random_teacher()
    logits = torch.nn.functional.linear(*layer)

    sums = loss_sums(*layer, targets, soft, Objective(0.2, 0.3, 0.4))

    torch.testing.assert_close(sums.cross_entropy, torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    assert int(sums.correct) == int((logits.argmax(1) == targets).sum())


@pytest.mark.parametrize(
    "objective",
    [Objective(0.1, 1.0, 0.5), Objective(0.1, 1.0, 0.5, hardest=0.7), Objective(0.1, 1.0, 0.5, 2.0), Objective(0.1)],
)
def test_chunks_change_nothing(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = [tensor.requires_grad_() for tensor in random_layer()]
    targets, soft, _ = random_teacher(tau=objective.temperature)
    whole = loss_sums(*layer, targets, soft, objective).loss
    monkeypatch.setattr("stages.training.objective.room._CHUNK_ELEMENTS", 1)
    monkeypatch.setattr("stages.training.objective.room._CHUNK_ROWS", 2)

    parts = loss_sums(*layer, targets, soft, objective).loss

    torch.testing.assert_close(parts, whole)
    for found, wanted in zip(torch.autograd.grad(parts, layer), torch.autograd.grad(whole, layer), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("tau", [1.0, 3.0])
@pytest.mark.parametrize("tempering", get_args(Tempering))
def test_ghost_divergence_is_zero_when_the_student_is_the_teacher(tau: float, tempering: Tempering) -> None:
    targets, soft, log_probs = random_teacher(tau=tau)
    objective = Objective(0, 0.0, 1.0, tau, "ghost", tempering)
    hidden = torch.eye(N, dtype=torch.float64).requires_grad_()  # so that logits are the teacher's log-probabilities

    sums = loss_sums(hidden, log_probs.t(), torch.zeros(V, dtype=torch.float64), targets, soft, objective)

    torch.testing.assert_close(sums.divergence, torch.zeros((), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(sums.loss, hidden)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("tau", [1.0, 1.5])
def test_a_rest_of_tiny_mass_stays_exact_in_float32(tau: float) -> None:
    # The student's kept entries hold all but about exp(-30 / tau): 1 - their sum would be 0 in float32.
    targets, soft, full = random_teacher(tau=tau)
    logits = 0.1 * torch.randn(N, V, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    logits = logits.scatter_add(1, soft.ids, torch.full((N, K), 30.0, dtype=torch.float64)).requires_grad_()
    identity = torch.eye(N, dtype=torch.float64)
    objective = Objective(0.0, 0.0, 1.0, tau)
    kl = tau**2 * dense_divergence(logits, targets, soft, full, objective).sum()
    (wanted,) = torch.autograd.grad(kl, logits)

    single = logits.detach().t().float().requires_grad_()
    sums = loss_sums(identity.float(), single, torch.zeros(V), targets, soft, objective)

    torch.testing.assert_close(sums.loss.double(), kl.detach(), rtol=1e-5, atol=1e-5)
    (found,) = torch.autograd.grad(sums.loss, single)
    torch.testing.assert_close(found.t().double(), wanted, rtol=1e-4, atol=1e-6)


def test_a_tail_without_mass_or_with_all_of_it_gives_numbers() -> None:
    targets, soft, _ = random_teacher()
    layer = [tensor.float().requires_grad_() for tensor in random_layer()]
    nothing, all_of_it = torch.full((N,), -torch.inf), torch.zeros(N)
    for missing_mass, tau, tail in itertools.product(get_args(MissingMass), TAUS, (nothing, all_of_it)):
        empty = SoftTargets(soft.ids, soft.log_probs, tail, tail)
        sums = loss_sums(*layer, targets, empty, Objective(0.1, 1.0, 0.5, tau, missing_mass))
        gradients = torch.autograd.grad(sums.loss, layer)
        assert all(bool(value.isfinite().all()) for value in (sums.loss, *gradients)), (missing_mass, tau)


@pytest.mark.parametrize("above", [85.0, 88.0, 92.0, 104.0, 500.0])
@pytest.mark.parametrize("weight", [0.5, 5.0, 1e4])
@pytest.mark.parametrize("tau", TAUS)
def test_a_rest_without_mass_gives_numbers(tau: float, weight: float, above: float) -> None:
    targets, soft, _ = random_teacher(tau=tau)
    logits = torch.zeros(N, V).scatter(1, soft.ids, above).t().contiguous().requires_grad_()
    sums = loss_sums(torch.eye(N), logits, torch.zeros(V), targets, soft, Objective(0.1, 1.0, weight, tau))
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


def test_of_tied_logits_the_first_is_what_counts_in_validation() -> None:
    # Whole numbers, which bfloat16 holds: many of the 23 logits of a position are its highest.
    generator = torch.Generator().manual_seed(2)
    hidden, weight = (torch.randint(-2, 3, shape, generator=generator).float() for shape in ((400, 3), (V, 3)))
    logits = (hidden @ weight.t()).numpy()
    tied = [np.flatnonzero(row == row.max()) for row in logits]
    targets = torch.tensor([places[number % len(places)] for number, places in enumerate(tied)])
    greedy = sum(int(target) == int(places[0]) for target, places in zip(targets, tied, strict=True))
    assert greedy < 350

    with torch.no_grad():
        sums = loss_sums(hidden, weight, torch.zeros(V), targets, None, Objective(), torch.bfloat16)
    assert int(sums.correct) == greedy


def test_without_gradient_none_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.training.objective.room.Room.add_product", lambda *arguments: pytest.fail("a gradient"))
    hidden, weight, bias = random_layer()
    targets, soft, _ = random_teacher()
    with torch.no_grad():
        loss_sums(hidden, weight.requires_grad_(), bias, targets, soft, Objective(0.1, 1.0, 0.5))


def test_without_gradient_nothing_is_kept() -> None:
    targets, soft, _ = random_teacher()
    with torch.no_grad():
        sums = loss_sums(*random_layer(), targets, soft, Objective(0.1, 1.0, 0.5))
    assert not sums.loss.requires_grad
