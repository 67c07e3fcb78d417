"""Contrastive distillation: each sentence is to be known among all of its batch (InfoNCE, https://arxiv.org/abs/1807.03748)."""

import torch
from torch import Tensor


def contrastive_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over N sentences of -log softmax of a student's state's cosines to all N teacher's states, at its own.

    States [N, D] of one width. With one sentence there is nothing to tell apart: 0.
    """
    ours, theirs = (torch.nn.functional.normalize(states, dim=1) for states in (student, teacher))
    own = torch.arange(len(student), device=student.device)
    return torch.nn.functional.cross_entropy(ours @ theirs.t() / temperature, own)
