"""The random numbers that sampled soft targets are drawn by: of a row's own, so that no batch or shard changes them."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


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
