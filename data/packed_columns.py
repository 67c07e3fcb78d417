"""Packed columns: one binary value a row, the little-endian bytes of all its numbers one after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.errors import DataError

LARGEST_COLUMN_BYTES = 2**31 - 1

Array = npt.NDArray[Any]


def packed(name: str, content: Array, entries: Array) -> pa.Array:
    """One value a row; `content` [sum of entries, ...] holds the rows' numbers one row after the other.

    `entries` [rows] says how many of its first dimension are each row's. Raises DataError when they are too many.
    """
    content = np.ascontiguousarray(content)
    if content.nbytes > LARGEST_COLUMN_BYTES:
        raise DataError(
            f"{name} takes {content.nbytes} bytes; expected at most {LARGEST_COLUMN_BYTES}: make smaller shards"
        )
    ends = np.cumsum(entries) * (content.nbytes // max(len(content), 1))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), len(entries), [None, pa.py_buffer(offsets), pa.py_buffer(content)])


def unpacked(table: pa.Table, name: str, entries: Array, dtype: np.dtype[Any], meaning: str) -> Array:
    """The numbers of all rows, [sum of entries]; a column in one piece is not copied.

    `entries` [rows] says how many numbers each row must hold, `meaning` in words. Raises DataError when one does not.
    """
    column = table.column(name).cast(pa.binary())
    # A column in one piece may lie in the middle of its buffers.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    expected = np.asarray(entries) * dtype.itemsize
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    if array.null_count or not np.array_equal(np.diff(offsets), expected):
        _raise_misfit(table, name, array, expected.tolist(), meaning)
    return np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]].view(dtype)


def _raise_misfit(table: pa.Table, name: str, array: pa.Array, expected: Sequence[int], meaning: str) -> None:
    found = [len(value.as_buffer()) if value.is_valid else 0 for value in array]
    row = next(row for row, (has, wants) in enumerate(zip(found, expected, strict=True)) if has != wants)
    raise DataError(
        f"{name} has {found[row]} bytes; expected {expected[row]} ({meaning} * item size): the shard is not what its "
        "metadata says; delete it and run the stage score again",
        row_id=table.column("id")[row].as_py() if "id" in table.schema.names else str(row),
    )
