"""A part of the vocabulary for a batch: its own entries, and some that are drawn for all others."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from stages.training.objective.teacher_distribution import SampledTargets, SoftTargets


class Shortlist(NamedTuple):
    """Entries [M] of a vocabulary, and the logarithm of how many each stands for."""

    ids: Tensor
    log_counts: Tensor


def shortlist(
    targets: Tensor, soft: SoftTargets | SampledTargets | None, size: int, drawn: int
) -> tuple[Tensor, Shortlist]:
    """Of each of `size` entries its place in the shortlist, 0 for those that are not in it, [V]; and the shortlist.

    Drawn are as many as are asked for, or all others, from torch's random state.
    """
    own = torch.zeros(size, dtype=torch.bool, device=targets.device)
    own[targets] = True
    if soft is not None:
        own[soft.ids.long().flatten()] = True
    others = torch.nonzero(~own)[:, 0]
    taken = others[torch.randperm(len(others), device=targets.device)[:drawn]]
    kept = torch.nonzero(own)[:, 0]
    ids = torch.cat([kept, taken])
    counts = torch.full((len(ids),), math.log(max(len(others), 1) / max(len(taken), 1)), device=targets.device)
    counts[: len(kept)] = 0.0
    places = torch.zeros(size, dtype=torch.long, device=targets.device)
    places[ids] = torch.arange(len(ids), device=targets.device)
    return places, Shortlist(ids, counts)
