"""From raw logits to what a soft target keeps of them; on whatever device they lie."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

# Lower logits are as good as impossible; minus infinity would make 0 times infinity of the entropy.
_LOWEST_LOGIT = -1.0e4
# exp() of less is 0 in float32, and its logarithm is no number.
_LEAST_MASS = 1.0e-38


@dataclass(frozen=True)
class Kept:
    """What is kept of N positions; see `data.schema.SOFT_TARGETS`."""

    topk_ids: Array  # [N, K] int64
    topk_log_probs: Array  # [N, K] float32
    tail_log_mass: Array  # [N] float32
    token_log_probs: Array  # [N] float32
    entropy: Array  # [N] float32


def keep(logits: "torch.Tensor", forced: "torch.Tensor", k: int) -> Kept:
    """The k most probable of V entries at each of N positions, and sums over all of them.

    `logits` [N, V] float32 are overwritten; `forced` [N] holds the ids of the tokens that stood there. The tail's mass
    is summed over its entries: 1 minus the sum of the others would be all rounding where it matters, near 0.
    """
    import torch

    logits.clamp_(min=_LOWEST_LOGIT)
    top, ids = logits.topk(k, dim=-1)
    highest = top[:, :1].clone()
    token = logits.gather(1, forced[:, None])[:, 0]
    logits -= highest
    masses = logits.exp()
    total = masses.sum(dim=-1)
    expected = torch.linalg.vecdot(masses, logits) / total
    log_total = total.log()
    masses.scatter_(1, ids, 0.0)
    tail = masses.sum(dim=-1).clamp_(min=_LEAST_MASS).log() - log_total
    return Kept(
        topk_ids=ids.cpu().numpy(),
        topk_log_probs=(top - highest - log_total[:, None]).cpu().numpy(),
        tail_log_mass=tail.cpu().numpy(),
        token_log_probs=(token - highest[:, 0] - log_total).cpu().numpy(),
        entropy=(log_total - expected).clamp_(min=0.0).cpu().numpy(),
    )


def room(positions: int, k: int) -> Kept:
    """Room for N positions, to be filled by `put`."""
    values = [np.empty(positions, dtype=np.float32) for _ in range(3)]
    topk = np.empty((positions, k), dtype=np.float32)
    return Kept(np.empty((positions, k), dtype=np.int64), topk, *values)


def put(kept: Kept, target: Kept, places: slice | npt.NDArray[np.int64]) -> None:
    """Copies what was kept of some positions to their places in a larger one."""
    for field in fields(Kept):
        getattr(target, field.name)[places] = getattr(kept, field.name)
