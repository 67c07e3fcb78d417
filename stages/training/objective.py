"""The loss: label-smoothed cross-entropy plus KL to stored soft targets, and its gradient in closed form.

Logits are made, used and turned into their gradient a few rows at a time, so no [N, V] array outlives a
chunk and soft targets cost a gather and a scatter beside the pass that cross-entropy needs anyway.
Padding never gets here: a position is a row or is left out.

The teacher keeps K entries of its distribution and the log-mass of the rest (the tail). `missing_mass` says
what becomes of that tail, before temperature tau is applied (https://arxiv.org/abs/1503.02531, hence tau ** 2):

- ghost: K + 1 buckets. Teacher and student are both reduced to K entries and one bucket for all others, then
  tempered over those buckets: the tail is one entry, whatever it holds. Zero when both agree on all buckets.
- renormalise: the K entries are scaled to sum to 1; the student's softmax stays over the whole vocabulary.
- gold: the tail's mass goes to the forced token; the student's softmax likewise.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

MissingMass = Literal["ghost", "renormalise", "gold"]
# Logits at a time: enough rows for the matrix product, few enough for the cache; measured at V = 4,000 and 32,000.
_CHUNK_ELEMENTS = 1 << 19
_CHUNK_ROWS = 128


@dataclass(frozen=True)
class Objective:
    """loss = cross_entropy_weight * cross-entropy + soft_target_weight * tau ** 2 * KL(teacher || student)."""

    label_smoothing: float = 0.0
    cross_entropy_weight: float = 1.0
    soft_target_weight: float = 0.0
    temperature: float = 1.0
    missing_mass: MissingMass = "ghost"


class SoftTargets(NamedTuple):
    """What the teacher left of N positions: ids [N, K], natural log-probabilities [N, K], the tail's log-mass [N]."""

    ids: Tensor
    log_probs: Tensor
    tail: Tensor


class LossSums(NamedTuple):
    """Sums over N positions: `loss` carries the gradient; the others are for the eye, unsmoothed and unweighted."""

    loss: Tensor
    cross_entropy: Tensor
    divergence: Tensor
    correct: Tensor  # positions whose target has the highest logit; a tie counts


class _Teacher(NamedTuple):
    ids: Tensor  # [N, K'] entries with a probability of their own
    probs: Tensor  # [N, K'] after temperature; [N, K' + 1] with `ghost`, the last for all others together
    negative_entropy: Tensor  # [N, 1] sum of p log p


def loss_sums(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    soft_targets: SoftTargets | None,
    objective: Objective,
    compute_dtype: torch.dtype | None = None,
) -> LossSums:
    """Loss over N positions of decoder output `hidden` [N, D] under an output layer `weight` [V, D], `bias` [V].

    targets: [N] ids. `compute_dtype` is that of the matrix products (default: of `hidden`); everything
    else is in float32, or in float64 when `hidden` is.
    """
    if objective.soft_target_weight == 0:
        soft_targets = None
    teacher = None if soft_targets is None else teacher_distribution(soft_targets, targets, objective, hidden.dtype)
    sums = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, teacher, objective, compute_dtype or hidden.dtype
    )
    return LossSums(*sums)


def teacher_distribution(soft: SoftTargets, targets: Tensor, objective: Objective, dtype: torch.dtype) -> _Teacher:
    """The teacher's entries after missing mass and temperature, [N, K] ([N, K + 1] with `gold`)."""
    working = torch.float64 if dtype == torch.float64 else torch.float32
    ids, log_probs, tail = soft.ids.long(), soft.log_probs.to(working), soft.tail.to(working)
    if objective.missing_mass == "gold":
        ids, log_probs = _with_gold(ids, log_probs, tail, targets)
    buckets = log_probs
    if objective.missing_mass == "ghost":
        buckets = torch.cat([log_probs, tail[:, None]], dim=1)
    probs = torch.softmax(buckets / objective.temperature, dim=1)
    return _Teacher(ids, probs, torch.special.xlogy(probs, probs).sum(1, keepdim=True))


def _with_gold(ids: Tensor, log_probs: Tensor, tail: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The tail's mass added to the target's entry; a target that was not kept gets one, else that one is empty."""
    is_gold = ids == targets[:, None]
    kept = is_gold.any(1)
    raised = torch.where(is_gold, torch.logaddexp(log_probs, tail[:, None]), log_probs)
    own = torch.where(kept, torch.full_like(tail, -math.inf), tail)
    return torch.cat([ids, targets[:, None]], dim=1), torch.cat([raised, own[:, None]], dim=1)


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
        """`rest`: teacher, objective and the dtype of matrix products, which have no gradient."""
        teacher, objective, dtype = rest
        working = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        layer = (hidden, weight, bias)
        needed = any(ctx.needs_input_grad[:3])
        gradients = _Gradients(*(torch.zeros_like(part, dtype=working) for part in layer)) if needed else None
        factors, output, offset = (part.to(dtype) for part in layer)
        sums = hidden.new_zeros(4, dtype=working)
        step = max(_CHUNK_ROWS, _CHUNK_ELEMENTS // len(weight))
        for begin in range(0, len(hidden), step):
            rows = slice(begin, begin + step)
            logits = torch.addmm(offset, factors[rows], output.t()).to(working)
            part = None if teacher is None else _Teacher(*(entry[rows] for entry in teacher))
            chunk_sums, gradient = _chunk(logits, targets[rows], part, objective)
            sums += chunk_sums
            if gradients is not None:
                gradients.bias.add_(gradient.sum(0))
                to_logits = gradient.to(dtype)
                gradients.hidden[rows] = to_logits @ output
                _add_product(gradients.weight, to_logits.t(), factors[rows])
        uniform = objective.cross_entropy_weight * objective.label_smoothing / len(weight)
        if uniform:
            sums[0] -= uniform * _sum_of_logits(hidden, weight, bias, uniform, gradients)
        ctx.gradients, ctx.dtypes = gradients, [part.dtype for part in layer]
        # Own tensors, not views of one: the Trainer divides the loss in place.
        loss, *others = (value.clone() for value in sums)
        ctx.mark_non_differentiable(*others)
        return loss, *others

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that are there already, times the one of the loss; in place, so it can be asked for once."""
        pairs = zip(ctx.gradients, ctx.dtypes, strict=True)
        ctx.gradients = None
        return (*(gradient.mul_(grad_outputs[0]).to(dtype) for gradient, dtype in pairs), None, None, None, None)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, without a second tensor of that size where their precision is one."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def _sum_of_logits(
    hidden: Tensor, weight: Tensor, bias: Tensor, uniform: float, gradients: _Gradients | None
) -> Tensor:
    """Sum of all N * V logits; their gradient, `uniform` everywhere, is subtracted from the others.

    Label smoothing asks of the logits nothing but this sum, and that is a product of two sums: no pass over [N, V].
    """
    over_positions, over_vocabulary = hidden.sum(0), weight.sum(0)
    if gradients is not None:
        gradients.hidden.sub_(uniform * over_vocabulary)
        gradients.weight.sub_(uniform * over_positions)
        gradients.bias.sub_(uniform * len(hidden))
    return over_positions @ over_vocabulary + len(hidden) * bias.sum()


def _chunk(logits: Tensor, targets: Tensor, teacher: _Teacher | None, objective: Objective) -> tuple[Tensor, Tensor]:
    """Sums [4] as in LossSums over rows of `logits` [n, V], and the loss's gradient to them.

    What label smoothing takes from all logits alike is left to `_sum_of_logits`.
    """
    kept, weight = 1 - objective.label_smoothing, objective.cross_entropy_weight
    largest = logits.amax(1, keepdim=True)
    gold = logits.gather(1, targets[:, None]) - largest
    probs = torch.softmax(logits, 1)
    log_total = -probs.amax(1, keepdim=True).log()  # of the logits less their largest: at least 0, at most log V
    if teacher is None:
        divergence = torch.zeros_like(gold)
        gradient = probs if weight == 1 else probs.mul_(weight)
    elif objective.missing_mass == "ghost":
        divergence, gradient = _ghost(logits, probs, largest, log_total, teacher, objective)
    else:
        divergence, gradient = _entries(logits, probs, teacher, objective)
    gradient.scatter_add_(1, targets[:, None], torch.full_like(gold, -weight * kept))
    loss = weight * (log_total + objective.label_smoothing * largest - kept * gold)
    loss = loss + objective.soft_target_weight * objective.temperature**2 * divergence
    correct = (gold == 0).sum().to(loss.dtype)
    return torch.stack([loss.sum(), (log_total - gold).sum(), divergence.sum(), correct]), gradient


def _ghost(
    logits: Tensor, probs: Tensor, largest: Tensor, log_total: Tensor, teacher: _Teacher, objective: Objective
) -> tuple[Tensor, Tensor]:
    """KL over K + 1 buckets, [n, 1], and its gradient with that of cross-entropy's softmax, [n, V]. Overwrites `probs`.

    The rest's mass is summed without the kept entries, never as one minus their sum: it stays exact when tiny.
    With u the student's tempered buckets and q the teacher's, the gradient to a kept entry is tau * (u - q) after
    the factor tau ** 2, and an entry of the rest gets its share of tau * (u_rest - q_rest).
    """
    kept = logits.gather(1, teacher.ids) - largest
    kept_mass = probs.gather(1, teacher.ids)
    rest = probs.scatter_(1, teacher.ids, 0.0).sum(1, keepdim=True).clamp_min(torch.finfo(probs.dtype).tiny)
    buckets = torch.cat([kept, rest.log() + log_total], dim=1)
    log_student = torch.log_softmax(buckets / objective.temperature, dim=1)
    pull = objective.soft_target_weight * objective.temperature * (log_student.exp() - teacher.probs)
    gradient = probs.mul_(objective.cross_entropy_weight + pull[:, -1:] / rest)
    gradient.scatter_add_(1, teacher.ids, objective.cross_entropy_weight * kept_mass + pull[:, :-1])
    cross = (teacher.probs * log_student).sum(1, keepdim=True)
    return teacher.negative_entropy - cross, gradient


def _entries(logits: Tensor, probs: Tensor, teacher: _Teacher, objective: Objective) -> tuple[Tensor, Tensor]:
    """As `_ghost`, but KL to the student's whole tempered softmax p, whose gradient is tau * (p - q)."""
    tau, weight = objective.temperature, objective.cross_entropy_weight
    pull = objective.soft_target_weight * tau
    log_student = torch.log_softmax(logits / tau, 1)
    cross = (teacher.probs * log_student.gather(1, teacher.ids)).sum(1, keepdim=True)
    gradient = probs.mul_(weight).add_(log_student.exp_(), alpha=pull) if tau != 1 else probs.mul_(weight + pull)
    gradient.scatter_add_(1, teacher.ids, -pull * teacher.probs)
    return teacher.negative_entropy - cross, gradient
