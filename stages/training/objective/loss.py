"""The output layer's loss: label-smoothed cross-entropy plus KL to stored soft targets; its gradient in closed form.

Logits are made, used and turned into their gradient a few rows at a time, so no [N, V] array outlives a
chunk and soft targets cost a gather and a scatter beside the pass that cross-entropy needs anyway.
Padding never gets here: a position is a row or is left out.

The teacher's side of KL is made by `stages.training.objective.teacher_distribution`.

Selective distillation (https://aclanthology.org/2021.acl-long.504) is off by default and costs nothing then: only the
`hardest` share of a batch's positions, those of the highest cross-entropy, takes part in KL, whose mean is over these
alone. Where cross-entropies are equal the earlier position of the batch is taken. It takes a pass over all positions
for the cross-entropy, which picks them, and one over the picked.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stages.training.objective.room import Room, rows_at_a_time
from stages.training.objective.shortlist import shortlist
from stages.training.objective.teacher_distribution import (
    MissingMass,
    SampledTargets,
    SoftTargets,
    Teacher,
    Tempering,
    teacher_distribution,
)


@dataclass(frozen=True)
class Objective:
    """loss = cross_entropy_weight * cross-entropy + soft_target_weight * temperature ** 2 * KL(teacher || student)."""

    label_smoothing: float = 0.0
    cross_entropy_weight: float = 1.0
    soft_target_weight: float = 0.0
    temperature: float = 1.0
    missing_mass: MissingMass = "ghost"
    tempering: Tempering = "exact"
    hardest: float = 1.0
    # Entries that are drawn beside the batch's own, of a loss over a part of the vocabulary; 0: over all of it.
    shortlist: int = 0
    # What label smoothing takes from all logits alike is taken elsewhere, as they are not all here.
    smoothed_elsewhere: bool = False


class LossSums(NamedTuple):
    """Sums over N positions: `loss` carries the gradient; the others are for the eye, unsmoothed and unweighted.

    Where only some positions take part in the divergence, it is their mean times N.
    """

    loss: Tensor
    cross_entropy: Tensor
    divergence: Tensor
    # Positions whose target has the highest logit. Where no gradient is wanted, as in validation, of equal ones the
    # first is taken, as a greedy choice would; else a tie counts: to look for the first costs as much as the softmax.
    correct: Tensor


class _Layer(NamedTuple):
    """What logits are made of."""

    hidden: Tensor  # [N, D]
    weight: Tensor  # [V, D]
    bias: Tensor  # [V]


def loss_sums(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    soft_targets: SoftTargets | SampledTargets | None,
    objective: Objective,
    compute_dtype: torch.dtype | None = None,
) -> LossSums:
    """Loss over N positions of decoder output `hidden` [N, D] under an output layer `weight` [V, D], `bias` [V].

    targets: [N] ids. `compute_dtype` is that of the matrix products (default: of `hidden`); everything else is in
    float32, or in float64 when `hidden` is. Raises DataError when the soft targets do not hold what the temperature
    needs.
    """
    layer, dtype = _Layer(hidden, weight, bias), compute_dtype or hidden.dtype
    soft = soft_targets if objective.soft_target_weight else None
    if objective.shortlist and torch.is_grad_enabled():
        return _shortlisted(layer, targets, soft, objective, dtype)
    return _over_all(layer, targets, soft, objective, dtype)


def hardest_positions(losses: Tensor, share: float) -> Tensor:
    """Places of the share of positions with the highest of N losses, at least one; of equal ones the earlier."""
    count = max(math.ceil(share * len(losses) - 1e-9), 1)
    return torch.sort(losses, descending=True, stable=True).indices[:count]


def _over_all(
    layer: _Layer,
    targets: Tensor,
    soft: SoftTargets | SampledTargets | None,
    objective: Objective,
    dtype: torch.dtype,
) -> LossSums:
    """The sums over all entries of a layer."""
    if soft is None:
        return _sums(layer, targets, None, objective, dtype)[0]
    if objective.hardest < 1:
        return _selective(layer, targets, soft, objective, dtype)
    return _sums(layer, targets, _teacher(soft, targets, objective, layer.hidden), objective, dtype)[0]


def _shortlisted(
    layer: _Layer,
    targets: Tensor,
    soft: SoftTargets | SampledTargets | None,
    objective: Objective,
    dtype: torch.dtype,
) -> LossSums:
    """The same over the batch's targets, the entries that its soft targets keep, and a sample of all others.

    A drawn entry stands for as many as it was drawn of: the logarithm of that number is added to its logit, so that the
    sum of all exponentials is estimated without bias (https://arxiv.org/abs/1412.2007, section 3). What label smoothing
    asks of the logits is their sum over the whole vocabulary, which is had exactly.
    """
    places, part = shortlist(targets, soft, len(layer.weight), objective.shortlist)
    bias = layer.bias.index_select(0, part.ids) + part.log_counts.to(layer.bias.dtype)
    short = _Layer(layer.hidden, layer.weight.index_select(0, part.ids), bias)
    own = None if soft is None else soft._replace(ids=places[soft.ids.long()])
    uniform = objective.cross_entropy_weight * objective.label_smoothing / len(layer.weight)
    found = _over_all(short, places[targets], own, replace(objective, smoothed_elsewhere=True), dtype)
    if not uniform:
        return found
    over_positions, over_vocabulary = layer.hidden.sum(0), layer.weight.sum(0)
    of_all = over_positions @ over_vocabulary + len(layer.hidden) * layer.bias.sum()
    return found._replace(loss=found.loss - uniform * of_all.to(found.loss.dtype))


def _selective(
    layer: _Layer,
    targets: Tensor,
    soft_targets: SoftTargets | SampledTargets,
    objective: Objective,
    dtype: torch.dtype,
) -> LossSums:
    """Cross-entropy of all positions, and KL of those where it is highest."""
    without = replace(objective, soft_target_weight=0.0)
    # Without weight the cross-entropy is looked at, and its gradient, which is none, is not made.
    seen = layer if objective.cross_entropy_weight else _Layer(*(part.detach() for part in layer))
    hard, losses = _sums(seen, targets, None, without, dtype)
    chosen = hardest_positions(losses, objective.hardest)
    scale = len(targets) / len(chosen)
    alone = replace(
        objective,
        label_smoothing=0.0,
        cross_entropy_weight=0.0,
        soft_target_weight=objective.soft_target_weight * scale,
    )
    teacher = _teacher(soft_targets.of(chosen), targets[chosen], objective, layer.hidden)
    soft, _ = _sums(layer._replace(hidden=layer.hidden[chosen]), targets[chosen], teacher, alone, dtype)
    return hard._replace(loss=hard.loss + soft.loss, divergence=soft.divergence * scale)


def _teacher(soft: SoftTargets | SampledTargets, targets: Tensor, objective: Objective, hidden: Tensor) -> Teacher:
    return teacher_distribution(
        soft,
        targets,
        temperature=objective.temperature,
        missing_mass=objective.missing_mass,
        tempering=objective.tempering,
        dtype=hidden.dtype,
    )


def _sums(
    layer: _Layer,
    targets: Tensor,
    teacher: Teacher | None,
    objective: Objective,
    dtype: torch.dtype,
) -> tuple[LossSums, Tensor]:
    """Sums over all positions, and the cross-entropy [N] of each, which has no gradient."""
    # Asked here: within the function autograd is always off.
    learns = torch.is_grad_enabled()
    found = _ChunkedLoss.apply(*layer, targets, teacher, objective, dtype, learns)  # type: ignore[no-untyped-call]
    *sums, losses = found
    return LossSums(*sums), losses


def _working(hidden: Tensor) -> torch.dtype:
    """The precision of all that is no matrix product."""
    return torch.float64 if hidden.dtype == torch.float64 else torch.float32


class _Student(NamedTuple):
    """The student's side at n positions."""

    logits: Tensor  # [n, V]
    largest: Tensor  # [n, 1] of the logits
    probs: Tensor  # [n, V] their softmax; becomes the gradient
    log_total: Tensor  # [n, 1] log-sum-exp of the logits less their largest

    def log_probs(self, ids: Tensor) -> Tensor:
        """[n, K] of some entries: a log-softmax over all would be a pass more."""
        return self.logits.gather(1, ids) - self.largest - self.log_total

    def tempered(self, tau: float) -> "_Student":
        """The same of logits / tau."""
        logits = self.logits / tau
        probs = torch.softmax(logits, 1)
        return _Student(logits, self.largest / tau, probs, -probs.amax(1, keepdim=True).log())


class _Gradients(NamedTuple):
    """Of the summed loss, in the precision of the sums."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor


class _ChunkedLoss(torch.autograd.Function):
    """Sums of the loss over chunks of rows; the gradient is made in the forward pass, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        """`rest`: teacher, objective, the dtype of matrix products, and whether gradients are wanted at all."""
        teacher, objective, dtype, learns = rest
        working = _working(hidden)
        layer = _Layer(hidden, weight, bias)
        needed = learns and any(ctx.needs_input_grad[:3])
        gradients = _Gradients(*(torch.zeros_like(part, dtype=working) for part in layer)) if needed else None
        states, output, offset = hidden.to(dtype), weight.to(dtype), bias.to(working)
        sums, losses = hidden.new_zeros(4, dtype=working), hidden.new_empty(len(hidden), dtype=working)
        step = min(rows_at_a_time(weight), max(len(hidden), 1))
        room = Room.of(step, weight, dtype, working)
        for begin in range(0, len(hidden), step):
            rows = slice(begin, begin + step)
            logits, probs = room.logits(states[rows], output, offset)
            part = None if teacher is None else teacher.of(rows)
            chunk_sums, losses[rows], gradient = _chunk(logits, probs, targets[rows], part, objective)
            if not learns:
                chunk_sums[3] = (logits.argmax(1) == targets[rows]).sum()
            sums += chunk_sums
            if gradients is not None:
                gradients.bias.add_(gradient.sum(0))
                to_logits = room.lowered(gradient)
                gradients.hidden[rows] = to_logits @ output
                room.add_product(gradients.weight, to_logits.t(), states[rows])
        uniform = objective.cross_entropy_weight * objective.label_smoothing / len(weight)
        if uniform and not objective.smoothed_elsewhere:
            sums[0] -= uniform * _sum_of_logits(layer, uniform, gradients)
        ctx.gradients, ctx.dtypes = gradients, [part.dtype for part in layer]
        # Own tensors, not views of one: the Trainer divides the loss in place.
        loss, *others = (value.clone() for value in sums)
        ctx.mark_non_differentiable(*others, losses)
        return loss, *others, losses

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that are there already, times the one of the loss; in place, so it can be asked for once."""
        pairs = zip(ctx.gradients, ctx.dtypes, strict=True)
        ctx.gradients = None
        return (*(gradient.mul_(grad_outputs[0]).to(dtype) for gradient, dtype in pairs), *[None] * 5)


def _sum_of_logits(layer: _Layer, uniform: float, gradients: _Gradients | None) -> Tensor:
    """Sum of all N * V logits; their gradient times `uniform` is subtracted.

    Label smoothing asks of the logits nothing but this sum, and that is a product of two sums: no pass over [N, V].
    """
    over_positions, over_vocabulary = layer.hidden.sum(0), layer.weight.sum(0)
    if gradients is not None:
        gradients.hidden.sub_(uniform * over_vocabulary)
        gradients.weight.sub_(uniform * over_positions)
        gradients.bias.sub_(uniform * len(layer.hidden))
    return over_positions @ over_vocabulary + len(layer.hidden) * layer.bias.sum()


def _chunk(
    logits: Tensor, room: Tensor, targets: Tensor, teacher: Teacher | None, objective: Objective
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums [4] as in LossSums over rows of `logits` [n, V], the cross-entropies [n], and the loss's gradient to logits.

    `room` [n, V] is written over. What label smoothing takes from all logits alike is left to `_sum_of_logits`.
    """
    hard, kept = objective.cross_entropy_weight, 1 - objective.label_smoothing
    largest = logits.amax(1, keepdim=True)
    gold = logits.gather(1, targets[:, None]) - largest
    probs = torch.softmax(logits, 1, out=room)
    log_total = -probs.amax(1, keepdim=True).log()  # of the logits less their largest: at least 0, at most log V
    student = _Student(logits, largest, probs, log_total)
    if teacher is None:
        divergence = torch.zeros_like(gold)
        gradient = probs if hard == 1 else probs.mul_(hard)
    elif teacher.against == "buckets":
        divergence, gradient = _ghost(student, teacher, objective)
    elif teacher.against == "tempered_buckets":
        divergence, gradient = _tempered_ghost(student, teacher, objective)
    else:
        divergence, gradient = _entries(student, teacher, objective)
    gradient.scatter_add_(1, targets[:, None], torch.ones_like(gold) * (-kept * hard))
    loss = hard * (log_total + objective.label_smoothing * largest - kept * gold)
    loss = loss + objective.soft_target_weight * objective.temperature**2 * divergence
    losses = (log_total - gold)[:, 0]
    correct = (gold == 0).sum().to(loss.dtype)
    return torch.stack([loss.sum(), losses.sum(), divergence.sum(), correct]), losses, gradient


def _ghost(student: _Student, teacher: Teacher, objective: Objective) -> tuple[Tensor, Tensor]:
    """KL over K + 1 buckets, [n, 1], and its gradient with that of cross-entropy's softmax, [n, V].

    The rest's mass is summed without the kept entries, never as one minus their sum: it stays exact when tiny.
    With u the student's tempered buckets and q the teacher's, the gradient to a kept entry is tau * (u - q) after
    the factor tau ** 2, and an entry of the rest gets its share of tau * (u_rest - q_rest).
    """
    kept_mass = student.probs.gather(1, teacher.ids)
    rest = _without(student.probs, teacher.ids, objective)
    buckets = torch.cat([student.log_probs(teacher.ids), rest.log()], dim=1)
    log_student = torch.log_softmax(buckets / objective.temperature, dim=1)
    pull = objective.soft_target_weight * objective.temperature * (log_student.exp() - teacher.probs)
    gradient = student.probs.mul_(objective.cross_entropy_weight + pull[:, -1:] / rest)
    gradient.scatter_add_(1, teacher.ids, objective.cross_entropy_weight * kept_mass + pull[:, :-1])
    cross = (teacher.probs * log_student).sum(1, keepdim=True)
    return teacher.negative_entropy - cross, gradient


def _tempered_ghost(student: _Student, teacher: Teacher, objective: Objective) -> tuple[Tensor, Tensor]:
    """As `_ghost`, but the whole softmax is tempered before it is summed: an entry's share is of the tempered rest."""
    tau = objective.temperature
    tempered = student.tempered(tau)
    kept = tempered.log_probs(teacher.ids)
    rest = _without(tempered.probs, teacher.ids, objective)
    log_student = torch.cat([kept, rest.log()], dim=1)
    pull = objective.soft_target_weight * tau * (log_student.exp() - teacher.probs)
    gradient = student.probs.mul_(objective.cross_entropy_weight).add_(tempered.probs.mul_(pull[:, -1:] / rest))
    gradient.scatter_add_(1, teacher.ids, pull[:, :-1])
    cross = (teacher.probs * log_student).sum(1, keepdim=True)
    return teacher.negative_entropy - cross, gradient


def _without(probs: Tensor, ids: Tensor, objective: Objective) -> Tensor:
    """The mass [n, 1] of all entries but these; the entries are set to 0 in `probs`.

    It is so far above 0 that its pull, which is divided by it, stays a number at any weight.
    """
    limits = torch.finfo(probs.dtype)
    least = max(limits.tiny, 4 * objective.soft_target_weight * objective.temperature / limits.max)
    return probs.scatter_(1, ids, 0.0).sum(1, keepdim=True).clamp_min(least)


def _entries(student: _Student, teacher: Teacher, objective: Objective) -> tuple[Tensor, Tensor]:
    """As `_ghost`, but KL to the student's whole tempered softmax p, whose gradient is tau * (p - q)."""
    tau = objective.temperature
    pull = objective.soft_target_weight * tau
    tempered = student if tau == 1 else student.tempered(tau)
    cross = (teacher.probs * tempered.log_probs(teacher.ids)).sum(1, keepdim=True)
    if tau == 1:
        gradient = student.probs.mul_(objective.cross_entropy_weight + pull)
    else:
        gradient = student.probs.mul_(objective.cross_entropy_weight).add_(tempered.probs, alpha=pull)
    gradient.scatter_add_(1, teacher.ids, -pull * teacher.probs)
    return teacher.negative_entropy - cross, gradient
