"""Relations between the positions of a sentence, as MiniLMv2 has them (https://arxiv.org/abs/2012.15828)."""

import math

import torch
from torch import Tensor

from stages.training.online.positions import masked_mean

# Finite, so that 0 times it is 0; the exponential of it is 0 in every precision.
_NEVER = -1e9


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor, heads: int, *, causal: bool) -> Tensor:
    """KL(teacher || student) between relations of vectors [B, T, D] and [B, T, D'], both regrouped into `heads`.

    Mean over the heads and the positions of mask [B, T]. `causal`: a position is related to none after it.
    """
    allowed = mask[:, None, None, :]
    if causal:
        steps = torch.arange(mask.shape[1], device=mask.device)
        allowed = allowed & (steps[None, :] <= steps[:, None])
    log_teacher, log_student = (_relations(vectors, heads, allowed) for vectors in (teacher, student))
    rows = (log_teacher.exp() * (log_teacher - log_student)).sum(3)
    return masked_mean(rows.mean(1), mask)


def _relations(vectors: Tensor, heads: int, allowed: Tensor) -> Tensor:
    """log softmax of the scaled products of all pairs of positions, [B, heads, T, T]."""
    grouped = vectors.reshape(*vectors.shape[:2], heads, -1).transpose(1, 2)
    products = grouped @ grouped.transpose(2, 3) / math.sqrt(grouped.shape[3])
    return products.masked_fill(~allowed, _NEVER).log_softmax(3)
