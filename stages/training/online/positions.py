"""Which positions of a padded batch count, and means over them."""

from typing import Any

import torch
from torch import Tensor


def source_mask(batch: dict[str, Any]) -> Tensor:
    """Which positions [B, S] of the sources are no padding."""
    return _inside(batch["src"].shape[1], batch["srclen"])


def target_mask(batch: dict[str, Any]) -> Tensor:
    """Which positions [B, T] of the decoder predict a token of the target, `</s>` included."""
    return _inside(batch["tgt"].shape[1] - 1, batch["tgtlen"])


def _inside(width: int, lengths: Tensor) -> Tensor:
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values [B, T] where mask [B, T] says so; 0 where it is nowhere."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp_min(1)


def sentence_states(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over each sentence's positions, [B, D], of states [B, T, D] with mask [B, T]."""
    counts = mask.sum(1, keepdim=True).clamp_min(1)
    return torch.where(mask[:, :, None], states, 0.0).sum(1) / counts
