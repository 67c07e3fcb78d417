"""Attention distillation: where each position looks, student against teacher (https://arxiv.org/abs/1909.10351)."""

from typing import Literal

import torch
from torch import Tensor, nn

from stages.training.online.positions import masked_mean


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor, divergence: Literal["kl", "mse"]) -> Tensor:
    """Mean over H heads and the query positions of mask [B, T] between maps [B, H, T, S], each row a distribution.

    kl: KL(teacher || student). mse: squared differences, summed over S, so that padded keys, which have probability 0
    in both, count for nothing.
    """
    if divergence == "mse":
        rows = (student - teacher).square().sum(3)
    else:
        log_student = student.clamp_min(torch.finfo(student.dtype).tiny).log()
        rows = (torch.special.xlogy(teacher, teacher) - teacher * log_student).sum(3)
    return masked_mean(rows.mean(1), mask)


def mean_head(maps: Tensor) -> Tensor:
    """The mean of all heads as the only one, [B, 1, T, S]."""
    return maps.mean(1, keepdim=True)


class HeadMixture(nn.Module):
    """A learned 1x1 map from the student's H heads to the teacher's H': each is a weighted mean, so maps stay maps.

    The weights are a softmax over H, and all alike at first.
    """

    def __init__(self, student_heads: int, teacher_heads: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(teacher_heads, student_heads))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [B, H, T, S] as [B, H', T, S]."""
        return torch.einsum("oh,bhts->bots", self.logits.to(maps.dtype).softmax(1), maps)
