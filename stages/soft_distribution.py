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
# What is worked on at a time on a CPU, half a MiB, stays in its cache; fewer rows would pay for calls alone.
_VALUES_AT_ONCE, _LEAST_ROWS = 1 << 17, 8
# Entries of which the largest is asked first, see `_top`.
_BLOCK = 64


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

    `logits` [N, V] may be overwritten; `forced` [N] holds the ids of the tokens that stood there. The tail's mass
    is summed over its entries: 1 minus the sum of the others would be all rounding where it matters, near 0.
    """
    kept = room(len(logits), k)
    rows = max(len(logits), 1) if logits.is_cuda else rows_at_once(logits.shape[1])
    for start in range(0, len(logits), rows):
        span = slice(start, min(start + rows, len(logits)))
        put(_keep(logits[span].float(), forced[span], k), kept, span)
    return kept


def _keep(logits: "torch.Tensor", forced: "torch.Tensor", k: int) -> Kept:
    import torch

    logits.clamp_(min=_LOWEST_LOGIT)
    top, ids = _top(logits, k)
    token = logits.gather(1, forced[:, None])[:, 0]
    masses = torch.softmax(logits, dim=-1)
    # The first entry has at least 1 / V, so its logarithm is exact where those of others may be of 0.
    log_total = top[:, 0] - masses.gather(1, ids[:, :1])[:, 0].log()
    entropy = log_total - torch.linalg.vecdot(masses, logits)
    masses.scatter_(1, ids, 0.0)
    tail = masses.sum(dim=-1).clamp_(min=_LEAST_MASS).log()
    return Kept(
        topk_ids=ids.cpu().numpy(),
        topk_log_probs=(top - log_total[:, None]).cpu().numpy(),
        tail_log_mass=tail.cpu().numpy(),
        token_log_probs=(token - log_total).cpu().numpy(),
        entropy=entropy.clamp_(min=0.0).cpu().numpy(),
    )


def _top(logits: "torch.Tensor", k: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """The k largest and their ids, [N, K] each, largest first.

    On a CPU `topk` walks over pairs of value and place. Whoever is among the k largest is in one of the k blocks with
    the largest maximum, and a maximum takes a tenth of that.
    """
    import torch

    size = logits.shape[1] // _BLOCK * _BLOCK
    if logits.is_cuda or size < 2 * k * _BLOCK:
        top, ids = logits.topk(k, dim=-1)
        return top, ids
    blocks = logits[:, :size].reshape(len(logits), -1, _BLOCK)
    places = blocks.amax(dim=-1).topk(k, dim=-1, sorted=False)[1]
    chosen = blocks.gather(1, places[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    ids = (places[:, :, None] * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    rest = torch.arange(size, logits.shape[1]).expand(len(logits), -1)
    top, found = torch.cat([chosen, logits[:, size:]], dim=1).topk(k, dim=-1)
    return top, torch.cat([ids, rest], dim=1).gather(1, found)


def rows_at_once(vocabulary_size: int) -> int:
    """Positions whose logits stay in a CPU's cache."""
    return max(_VALUES_AT_ONCE // vocabulary_size, _LEAST_ROWS)


def room(positions: int, k: int) -> Kept:
    """Room for N positions, to be filled by `put`."""
    values = [np.empty(positions, dtype=np.float32) for _ in range(3)]
    topk = np.empty((positions, k), dtype=np.float32)
    return Kept(np.empty((positions, k), dtype=np.int64), topk, *values)


def put(kept: Kept, target: Kept, places: slice | npt.NDArray[np.int64]) -> None:
    """Copies what was kept of some positions to their places in a larger one."""
    for field in fields(Kept):
        getattr(target, field.name)[places] = getattr(kept, field.name)
