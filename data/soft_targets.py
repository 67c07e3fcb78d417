"""Soft targets as packed columns: what the teacher thought at every target position.

Of a row with T positions (`</s>` included) the file holds little-endian, row-major bytes: `topk_ids` [T, K]
as u16 or u32, all others as f16. How to read them stands in the schema's metadata, see `SoftTargetFormat`.
N is the number of positions of all rows of a table together.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import DataError
from data.schema import SOFT_TARGETS

METADATA_KEY = b"potstill.soft_targets"
LARGEST_COLUMN_BYTES = 2**31 - 1
# Rounding lets a log-probability come out a little above 0; raw logits, stored by mistake, are far above.
LARGEST_LOG_PROB = 0.01
_FLOAT: np.dtype[Any] = np.dtype("<f2")
_IDS: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

Array = npt.NDArray[Any]


class SoftTargetFormat(BaseModel):
    """How soft targets were made and how to read them; kept in the schema's metadata as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(ge=1, description="K: entries kept a position")
    vocabulary_size: int = Field(ge=1, description="V: entries of the teacher's target vocabulary")
    ids_dtype: Literal["uint16", "uint32"] = Field(description="type of topk_ids on disk")
    vocabulary_digest: str = Field(description="digest of the teacher's target vocabulary, in order")
    teacher_digest: str = Field(description="digest of the teacher's files")
    conditioning: Literal["hypothesis", "reference"] = Field(description="what was forced as the target prefix")
    compute_type: str = Field(description="the teacher's arithmetic: int8, float32, ...")
    backend: str = Field(description="what computed them: ctranslate2 or torch")

    @classmethod
    def of(cls, schema: pa.Schema) -> Self:
        """The format kept in a schema's metadata; raises DataError when there is none."""
        content = (schema.metadata or {}).get(METADATA_KEY)
        if content is None:
            raise DataError(
                f"no soft targets: the schema's metadata lacks {METADATA_KEY.decode()}; run the stage score"
            )
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise DataError(f"metadata {METADATA_KEY.decode()} cannot be read: {error.errors()[0]['msg']}") from error

    def attach(self, schema: pa.Schema) -> pa.Schema:
        """The schema with this format in its metadata."""
        return schema.with_metadata({**(schema.metadata or {}), METADATA_KEY: self.model_dump_json().encode()})


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """Soft targets of one row, as views of the table's memory; see `SOFT_TARGETS` for the meaning."""

    topk_ids: Array  # [T, K] uint16 or uint32
    topk_log_probs: Array  # [T, K] float16
    tail_log_mass: Array  # [T] float16
    token_log_probs: Array  # [T] float16
    entropy: Array  # [T] float16


def smallest_ids_dtype(vocabulary_size: int) -> Literal["uint16", "uint32"]:
    """The smaller of the two types of ids that holds 0 .. V - 1."""
    return "uint16" if vocabulary_size <= 2**16 else "uint32"


def pack(
    *,
    row_ids: Sequence[str],
    lengths: Sequence[int],
    topk_ids: Array,
    topk_log_probs: Array,
    tail_log_mass: Array,
    token_log_probs: Array,
    entropy: Array,
    target_format: SoftTargetFormat,
) -> pa.Table:
    """A SOFT_TARGETS table from the positions of all rows, one row after the other.

    `lengths` [rows] holds each row's T, `topk_*` are [N, K] with the most probable entry first, the
    others [N]. Raises DataError when shapes do not fit, an id is outside 0 .. V - 1, a value is no number,
    or log-probabilities are above 0 or not sorted.
    """
    positions = np.asarray(lengths, dtype=np.int64)
    if len(positions) != len(row_ids) or (positions < 1).any():
        raise DataError(
            f"{len(row_ids)} rows with {len(positions)} lengths {positions.tolist()[:8]}; expected one >= 1 a row"
        )
    _check_ids(topk_ids, target_format.vocabulary_size)
    _check_log_probs(topk_log_probs, tail_log_mass, token_log_probs)
    total, k = int(positions.sum()), target_format.k
    content = {
        "topk_ids": _packed("topk_ids", topk_ids, (total, k), _IDS[target_format.ids_dtype], positions),
        "topk_log_probs": _packed("topk_log_probs", topk_log_probs, (total, k), _FLOAT, positions),
        "tail_log_mass": _packed("tail_log_mass", tail_log_mass, (total,), _FLOAT, positions),
        "token_log_probs": _packed("token_log_probs", token_log_probs, (total,), _FLOAT, positions),
        "entropy": _packed("entropy", entropy, (total,), _FLOAT, positions),
    }
    columns = {"id": pa.array(row_ids, pa.string()), "length": pa.array(positions, pa.int32()), **content}
    schema = target_format.attach(SOFT_TARGETS)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def flat(table: pa.Table, name: str) -> Array:
    """One packed column of all rows together: [N, K] for `topk_*`, else [N]; a column in one piece is not copied.

    Needs the columns `length` and `name` alone. Raises DataError when a row's bytes are not T * K * item size.
    """
    target_format = SoftTargetFormat.of(table.schema)
    dtype = _IDS[target_format.ids_dtype] if name == "topk_ids" else _FLOAT
    width = target_format.k if name.startswith("topk_") else 1
    column = table.column(name).cast(pa.binary())
    # A column in one piece is not copied; it may lie in the middle of its buffers.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    expected = row_lengths(table) * width * dtype.itemsize
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    if array.null_count or not np.array_equal(np.diff(offsets), expected):
        _raise_misfit(table, name, array, expected)
    content = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]].view(dtype)
    return content.reshape(-1, width) if name.startswith("topk_") else content


def row_lengths(table: pa.Table) -> npt.NDArray[np.int64]:
    """T of every row, [rows]."""
    return np.asarray(table.column("length").to_numpy(), dtype=np.int64)


def unpack(table: pa.Table) -> list[SoftTargets]:
    """Soft targets row by row; raises DataError as `flat` does."""
    names = ("topk_ids", "topk_log_probs", "tail_log_mass", "token_log_probs", "entropy")
    bounds = np.concatenate([[0], np.cumsum(row_lengths(table))])
    columns = [flat(table, name) for name in names]
    spans = itertools.pairwise(bounds)
    return [SoftTargets(*(column[start:end] for column in columns)) for start, end in spans]


def _packed(name: str, values: Array, shape: tuple[int, ...], dtype: np.dtype[Any], lengths: Array) -> pa.Array:
    if values.shape != shape:
        raise DataError(f"{name} has shape {list(values.shape)}; expected {list(shape)}: N is the sum of lengths")
    if np.isnan(values).any():
        raise DataError(f"{name} holds values that are no numbers (NaN); the teacher's output is unusable")
    with np.errstate(over="ignore"):
        content = np.ascontiguousarray(values, dtype=dtype)
    if content.nbytes > LARGEST_COLUMN_BYTES:
        raise DataError(
            f"{name} takes {content.nbytes} bytes; expected at most {LARGEST_COLUMN_BYTES}: make smaller shards"
        )
    ends = np.cumsum(lengths) * (content.nbytes // max(shape[0], 1))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(content)])


def _check_ids(ids: Array, vocabulary_size: int) -> None:
    if not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"topk_ids are {ids.dtype}; expected integers")
    if ids.size and (ids.min() < 0 or ids.max() >= vocabulary_size):
        raise DataError(f"topk_ids lie in {ids.min()} .. {ids.max()}; expected 0 .. {vocabulary_size - 1}")


def _check_log_probs(topk: Array, *others: Array) -> None:
    largest = max((float(values.max()) for values in (topk, *others) if values.size), default=0.0)
    if largest > LARGEST_LOG_PROB:
        raise DataError(f"a log-probability is {largest:.4g}; expected at most 0: are these raw logits?")
    if topk.ndim == 2 and (topk[:, 1:] > topk[:, :-1]).any():
        raise DataError("topk_log_probs are not sorted; expected the most probable entry first at every position")


def _raise_misfit(table: pa.Table, name: str, array: pa.Array, expected: Array) -> None:
    found = [len(value.as_buffer()) if value.is_valid else 0 for value in array]
    row = next(row for row, (has, wants) in enumerate(zip(found, expected, strict=True)) if has != wants)
    raise DataError(
        f"{name} has {found[row]} bytes; expected {expected[row]} (T * K * item size): the shard is not what its "
        "metadata says; delete it and run the stage score again",
        row_id=table.column("id")[row].as_py() if "id" in table.schema.names else str(row),
    )
