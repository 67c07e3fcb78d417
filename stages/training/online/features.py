"""Feature distillation: how far a student's hidden states are from its teacher's (https://arxiv.org/abs/1412.6550)."""

from typing import Literal

import torch
from torch import Tensor, nn

from stages.training.online.positions import masked_mean


def feature_loss(student: Tensor, teacher: Tensor, mask: Tensor, distance: Literal["mse", "cosine"]) -> Tensor:
    """Mean over the positions of mask [B, T] between states [B, T, D] of one width.

    mse: the squared difference, a mean over D. cosine: 1 - the cosine of the angle between both.
    """
    if distance == "mse":
        return masked_mean((student - teacher).square().mean(2), mask)
    return masked_mean(1 - torch.cosine_similarity(student, teacher, dim=2), mask)


def projection(student_width: int, teacher_width: int) -> nn.Linear:
    """A learned map from the student's states to the teacher's width, drawn from torch's random state (Glorot)."""
    layer = nn.Linear(student_width, teacher_width, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
