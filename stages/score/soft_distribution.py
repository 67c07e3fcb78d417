"""From raw logits to what a soft target keeps of them; on whatever device they lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
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
class Wanted:
    """What shall be kept of N positions beside their sums."""

    k: int  # K most probable entries
    temperatures: tuple[float, ...] = ()  # M at which the tail's mass is taken, beside 1
    uniforms: Array | None = None  # [N, draws] in 0..1, rising: each draws an entry with replacement

    def of(self, span: slice | npt.NDArray[np.int64]) -> "Wanted":
        """The same of some of the positions."""
        return self if self.uniforms is None else replace(self, uniforms=self.uniforms[span])


@dataclass(frozen=True)
class Kept:
    """What is kept of N positions; see `data.schema.SOFT_TARGETS`."""

    topk_ids: Array  # [N, K] int64
    topk_log_probs: Array  # [N, K] float32
    tail_log_mass: Array  # [N] float32
    tempered_tails: Array  # [N, M] float32
    drawn_ids: Array  # [N, draws] int32, rising
    token_log_probs: Array  # [N] float32
    entropy: Array  # [N] float32


def keep(logits: "torch.Tensor", forced: "torch.Tensor", wanted: Wanted) -> Kept:
    """Of V entries at each of N positions the most probable, the drawn, and sums over all of them.

    `logits` [N, V] may be overwritten; `forced` [N] holds the ids of the tokens that stood there. The tail's mass
    is summed over its entries: 1 minus the sum of the others would be all rounding where it matters, near 0.
    """
    kept = room(len(logits), wanted)
    rows = max(len(logits), 1) if logits.is_cuda else rows_at_once(logits.shape[1])
    for start in range(0, len(logits), rows):
        span = slice(start, min(start + rows, len(logits)))
        put(_keep(logits[span].float(), forced[span], wanted.of(span)), kept, span)
    return kept


def _keep(logits: "torch.Tensor", forced: "torch.Tensor", wanted: Wanted) -> Kept:
    import torch

    logits.clamp_(min=_LOWEST_LOGIT)
    top, ids = _top(logits, wanted.k)
    token = logits.gather(1, forced[:, None])[:, 0]
    masses = torch.softmax(logits, dim=-1)
    # The first entry has at least 1 / V, so its logarithm is exact where those of others may be of 0.
    log_total = top[:, 0] - masses.gather(1, ids[:, :1])[:, 0].log()
    entropy = log_total - torch.linalg.vecdot(masses, logits)
    drawn = np.empty((len(logits), 0), np.int32) if wanted.uniforms is None else _draw(masses, wanted.uniforms)
    tail = _tail(masses, ids)
    tempered = [_tail(torch.softmax(logits / temperature, dim=-1), ids) for temperature in wanted.temperatures]
    return Kept(
        topk_ids=ids.cpu().numpy(),
        topk_log_probs=(top - log_total[:, None]).cpu().numpy(),
        tail_log_mass=tail.cpu().numpy(),
        tempered_tails=torch.stack([tail, *tempered], dim=1)[:, 1:].cpu().numpy(),
        drawn_ids=drawn,
        token_log_probs=(token - log_total).cpu().numpy(),
        entropy=entropy.clamp_(min=0.0).cpu().numpy(),
    )


def _tail(masses: "torch.Tensor", ids: "torch.Tensor") -> "torch.Tensor":
    """Log of the mass [N] of all entries but those of `ids`; overwrites `masses`."""
    return masses.scatter_(1, ids, 0.0).sum(dim=-1).clamp_(min=_LEAST_MASS).log()


def _draw(masses: "torch.Tensor", uniforms: Array) -> Array:
    """The entry [N, draws] in whose share of 0..1 each number lies, shares in the order of the ids.

    So a draw hangs on its number and its own position's distribution alone.
    """
    import torch

    shares = masses.to(torch.float64).cumsum(dim=-1)
    # Rounded sums end next to 1, not at it: what is drawn of a share beyond the end is the last entry with a share.
    numbers = torch.from_numpy(uniforms).to(shares.device) * shares[:, -1:]
    ids = torch.searchsorted(shares, numbers, right=True).clamp_(max=masses.shape[1] - 1)
    return ids.to(torch.int32).cpu().numpy()


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


def room(positions: int, wanted: Wanted) -> Kept:
    """Room for N positions, to be filled by `put`."""
    draws = 0 if wanted.uniforms is None else wanted.uniforms.shape[1]
    return Kept(
        topk_ids=np.empty((positions, wanted.k), dtype=np.int64),
        topk_log_probs=np.empty((positions, wanted.k), dtype=np.float32),
        tail_log_mass=np.empty(positions, dtype=np.float32),
        tempered_tails=np.empty((positions, len(wanted.temperatures)), dtype=np.float32),
        drawn_ids=np.empty((positions, draws), dtype=np.int32),
        token_log_probs=np.empty(positions, dtype=np.float32),
        entropy=np.empty(positions, dtype=np.float32),
    )


def put(kept: Kept, target: Kept, places: slice | npt.NDArray[np.int64]) -> None:
    """Copies what was kept of some positions to their places in a larger one."""
    for field in fields(Kept):
        getattr(target, field.name)[places] = getattr(kept, field.name)


def no_opinion(wanted: Wanted, positions: int, vocabulary_size: int) -> Kept:
    """What is kept of N positions of the even distribution over V entries, at any temperature."""
    each, rest = -np.log(vocabulary_size), vocabulary_size - wanted.k
    tail = np.log(rest / vocabulary_size) if rest else np.log(np.finfo(np.float32).tiny)
    uniforms = np.empty((positions, 0)) if wanted.uniforms is None else wanted.uniforms
    return Kept(
        topk_ids=np.tile(np.arange(wanted.k), (positions, 1)),
        topk_log_probs=np.full((positions, wanted.k), each, dtype=np.float32),
        tail_log_mass=np.full(positions, tail, dtype=np.float32),
        tempered_tails=np.full((positions, len(wanted.temperatures)), tail, dtype=np.float32),
        drawn_ids=np.minimum(uniforms * vocabulary_size, vocabulary_size - 1).astype(np.int32),
        token_log_probs=np.full(positions, each, dtype=np.float32),
        entropy=np.full(positions, -each, dtype=np.float32),
    )


def uniforms(seed: int, row_ids: Sequence[str], lengths: npt.NDArray[np.int64], draws: int) -> npt.NDArray[np.float64]:
    """Numbers in 0..1 for all positions of all rows, [N, draws], rising at every position.

    Those of a row follow from the seed and its id alone; `lengths` [rows] holds each row's T.
    """
    numbers = np.empty((int(lengths.sum()), draws))
    ends = np.cumsum(lengths)
    for row_id, start, end in zip(row_ids, ends - lengths, ends, strict=True):
        numbers[start:end] = _generator(seed, row_id).random((end - start, draws))
    numbers.sort(axis=1)
    return numbers


def _generator(seed: int, row_id: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed} {row_id}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
