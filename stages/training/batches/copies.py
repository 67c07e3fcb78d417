"""How often a row comes in an epoch, where that is not once: whole copies, and a share of a copy by the row's hash.

A share is kept over the epochs: a row that is worth 1.25 comes twice in every fourth epoch, which fourth its hash
decides. So of many rows a share comes in every epoch, another one each time, and of one row, over the epochs.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import DataError

# Steps of it fill [0, 1) evenly, and so do pairs of this and of the golden ratio's, by which n-best lists are drawn.
_STEP = 2**0.5 - 1
_SALT = b"potstill copies"
_BETWEEN = "\x1f"


@dataclass(frozen=True)
class Worth:
    """How often a row is drawn an epoch, in the mean over the epochs, by what stands in some of its columns."""

    columns: tuple[str, ...]
    by_value: Mapping[tuple[str, ...], float]

    @property
    def most(self) -> int:
        """No row comes more often in an epoch."""
        return max(int(np.ceil(each)) for each in self.by_value.values())

    def of(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Of each row, [rows]; raises DataError for one whose columns hold something else."""
        known = pa.array([_BETWEEN.join(value) for value in self.by_value], pa.string())
        values = pc.binary_join_element_wise(*(table[name] for name in self.columns), _BETWEEN)
        found = pc.index_in(values, known)
        if found.null_count:
            row = int(np.flatnonzero(found.is_null().to_numpy())[0])
            raise DataError(
                f"a row of {values[row].as_py().split(_BETWEEN)}; expected of {', '.join(self.columns)} one of "
                f"{', '.join(map(str, self.by_value))}, which the manifests of corpus and datasets tell of: delete the "
                "folder that this shard is in and run again"
            )
        each = np.array(list(self.by_value.values()), dtype=np.float64)
        return each[np.asarray(found.to_numpy(), dtype=np.intp)]


def copies(table: pa.Table, worth: npt.NDArray[np.float64], epoch: int) -> npt.NDArray[np.int64]:
    """How often each row comes in this epoch, [rows]: a function of its id, its worth and the epoch."""
    whole = np.floor(worth)
    share = worth - whole
    if not share.any():
        return whole.astype(np.int64)
    point = (_points(table["id"]) + epoch * _STEP) % 1
    return (whole + (point < share)).astype(np.int64)


def _points(ids: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A point in [0, 1) for each id, which has nothing to do with other hashes of it."""
    digests = b"".join(
        hashlib.blake2b(row_id.encode(), digest_size=8, salt=_SALT).digest() for row_id in ids.to_pylist()
    )
    return np.frombuffer(digests, dtype="<u8") / 2.0**64
