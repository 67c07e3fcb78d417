"""The compact encoding of soft targets: ids by their gaps, log-probabilities in a byte, and zstd does the rest.

The K entries of a position stand in the order of their ids, so that an id is its distance from the one before. A
distance is kept as low byte and high part in two columns: the first is nearly noise, the second has few values, and
each gets codes of its own from zstd. A log-probability x becomes the byte j with -x next to exp(j / steps) - 1, so its
error is the same share of 1 - x everywhere: an error costs the divergence what the entry's probability is worth.
N is the number of positions, K of entries kept at each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import DataError

# Bytes a unit of log(1 - x). Of entries: off by at most 2.2% of 1 - x, that is 0.022 nat for a certain one. The
# others are one a position: at most 0.63%, down to -23.2 nats.
ENTRY_STEPS = 24
POSITION_STEPS = 80
# Larger ones do not leave a byte's room beside them in 32 bits.
LARGEST_VOCABULARY = 1 << 24

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


def to_bytes(values: Array, steps: int) -> Bytes:
    """The byte of every value; what is below 0 or too large gets the nearest end."""
    logs = np.log1p(np.maximum(values, 0.0).astype(np.float64))
    return np.asarray(np.rint(np.minimum(logs * steps, 255.0)), dtype=np.uint8)


def from_bytes(steps: int) -> npt.NDArray[np.float32]:
    """What each of the 256 bytes stands for."""
    return np.expm1(np.arange(256) / steps).astype(np.float32)


def encode_entries(ids: Array, log_probs: Array) -> tuple[Array, Array, Bytes]:
    """Low bytes [N, K] and high parts [N, K] of the gaps, and bytes of the log-probabilities [N, K].

    Entries come most probable first. The first keeps a byte smaller than all others' where one is left, so that it
    comes first again. Raises DataError when an id occurs twice at a position.
    """
    codes = to_bytes(-log_probs, ENTRY_STEPS)
    if codes.shape[1] > 1:
        codes[:, 0] -= (codes[:, 0] > 0) & (codes[:, 1:].min(axis=1) == codes[:, 0])
    keys = np.sort((ids.astype(np.uint64) << 8) | codes, axis=1)
    ordered = (keys >> 8).astype(np.int64)
    gaps = np.concatenate([ordered[:, :1], ordered[:, 1:] - ordered[:, :-1] - 1], axis=1)
    if (gaps < 0).any():
        raise DataError(f"an id occurs twice in the position {int((gaps < 0).any(axis=1).argmax())} of topk_ids")
    return (gaps & 255).astype(np.uint8), gaps >> 8, (keys & 255).astype(np.uint8)


def encode_gaps(ids: Array, first: npt.NDArray[np.bool_]) -> tuple[Bytes, Array]:
    """Low bytes and high parts [E] of the gaps of ids [E] that rise within a position; `first` marks each first one.

    Raises DataError when they do not rise.
    """
    before = np.concatenate([[-1], ids[:-1].astype(np.int64)]) if len(ids) else np.zeros(0, np.int64)
    gaps = ids.astype(np.int64) - np.where(first, -1, before) - 1
    if (gaps < 0).any():
        raise DataError(f"entry {int((gaps < 0).argmax())} of the drawn ids is not above the one before it")
    return (gaps & 255).astype(np.uint8), gaps >> 8


def decode_gaps(low: Bytes, high: Array, entries: Array) -> Array:
    """The ids [E] again, uint32; `entries` [N] says how many each position has, at least 1."""
    rising = np.cumsum(low.astype(np.int64) + (high.astype(np.int64) << 8) + 1)
    ends = np.cumsum(entries)
    # A position begins anew: what was summed up to the end of the one before is taken off.
    earlier = np.concatenate([[0], rising[ends[:-1] - 1]]) if len(ends) else np.zeros(0, np.int64)
    return np.asarray(rising - np.repeat(earlier, entries) - 1, dtype=np.uint32)


def decode_entries(low: Bytes, high: Array, codes: Bytes, tail: Bytes) -> tuple[Array, Array, Array]:
    """Ids [N, K] uint32, log-probabilities [N, K] and the tail's log-mass [N] float32, most probable entry first.

    Equal bytes come in the order of their ids. A position's entries and tail are scaled together to sum to 1.
    """
    ids = np.cumsum(low.astype(np.uint32) + (high.astype(np.uint32) << 8) + 1, axis=1, dtype=np.uint32) - 1
    # One sort for both: the byte of the log-probability above the id.
    keys = np.sort((codes.astype(np.uint32) << 24) | ids, axis=1)
    codes = (keys >> 24).astype(np.uint8)
    entries, positions = from_bytes(ENTRY_STEPS), from_bytes(POSITION_STEPS)
    total = np.log(np.exp(-entries)[codes].sum(axis=1) + np.exp(-positions)[tail])
    return keys & 0xFFFFFF, -entries[codes] - total[:, None], -positions[tail] - total
