"""Soft targets as packed columns: what the teacher thought at every target position.

Of a row with T positions (`</s>` included) the file holds little-endian, row-major bytes: `topk_ids` [T, K]
as u16 or u32, all others as f16; or, in the compact encoding, those of data/compact.py. How to read them stands in
the schema's metadata, see `SoftTargetFormat`. N is the number of positions of all rows of a table together.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data import compact
from data.errors import DataError
from data.schema import SOFT_TARGETS

METADATA_KEY = b"potstill.soft_targets"
LARGEST_COLUMN_BYTES = 2**31 - 1
# Rounding lets a log-probability come out a little above 0; raw logits, stored by mistake, are far above.
LARGEST_LOG_PROB = 0.01
_FLOAT: np.dtype[Any] = np.dtype("<f2")
_BYTE: np.dtype[Any] = np.dtype("u1")
_IDS: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
# Of what is beyond the low byte, in the compact encoding.
_HIGH: dict[str, np.dtype[Any]] = {"uint16": _BYTE, "uint32": np.dtype("<u2")}
_OF_ENTRIES = ("topk_ids", "topk_ids_high", "topk_log_probs")

Array = npt.NDArray[Any]


Conditioning = Literal["hypothesis", "reference"]


class SoftTargetFormat(BaseModel):
    """How soft targets were made and how to read them; kept in the schema's metadata as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(ge=1, description="K: entries kept a position")
    vocabulary_size: int = Field(ge=1, description="V: entries of the teacher's target vocabulary")
    ids_dtype: Literal["uint16", "uint32"] = Field(description="type of the ids; exact: as they are in topk_ids")
    vocabulary_digest: str = Field(description="digest of the teacher's target vocabulary, in order")
    teacher_digest: str = Field(description="digest of the teacher's files")
    conditioning: Conditioning = Field(
        description="what was forced as the target prefix: the chosen hypothesis, or the reference where a row has one"
    )
    compute_type: str = Field(description="the teacher's arithmetic: int8, float32, ...")
    backend: str = Field(description="what computed them: ctranslate2 or torch")
    encoding: Literal["exact", "compact"] = Field("exact", description="exact: arrays; compact: see data/compact.py")

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
    total, k = int(positions.sum()), target_format.k
    _check_values("topk_ids", topk_ids, (total, k))
    _check_values("topk_log_probs", topk_log_probs, (total, k))
    others = {"tail_log_mass": tail_log_mass, "token_log_probs": token_log_probs, "entropy": entropy}
    for name, values in others.items():
        _check_values(name, values, (total,))
    _check_ids(topk_ids, target_format.vocabulary_size)
    _check_log_probs(topk_log_probs, tail_log_mass, token_log_probs)
    encode = _compact if target_format.encoding == "compact" else _exact
    content = encode({"topk_ids": topk_ids, "topk_log_probs": topk_log_probs, **others}, target_format)
    columns = {"id": pa.array(row_ids, pa.string()), "length": pa.array(positions, pa.int32())}
    columns |= {name: _packed(name, values, positions) for name, values in content.items()}
    schema = target_format.attach(SOFT_TARGETS)
    missing = pa.nulls(len(positions), pa.binary())
    return pa.Table.from_arrays([columns.get(name, missing) for name in schema.names], schema=schema)


def flat(table: pa.Table, name: str) -> Array:
    """One packed column of all rows together: [N, K] for `topk_*`, else [N].

    Needs the columns `length` and `name` alone; what is said of the entries (`topk_*`, `tail_log_mass`) is decoded
    together in the compact encoding and needs all of them. An exact column in one piece is not copied.
    Raises DataError when a row's bytes are not T * K * item size.
    """
    target_format = SoftTargetFormat.of(table.schema)
    if target_format.encoding == "exact":
        return _bytes(table, name, target_format, _IDS[target_format.ids_dtype] if name == "topk_ids" else _FLOAT)
    if name in ("topk_ids", "topk_log_probs", "tail_log_mass"):
        return dict(zip(("topk_ids", "topk_log_probs", "tail_log_mass"), topk(table), strict=True))[name]
    values = compact.from_bytes(compact.POSITION_STEPS)[_bytes(table, name, target_format, _BYTE)].astype(_FLOAT)
    return values if name == "entropy" else -values


def topk(table: pa.Table) -> tuple[Array, Array, Array]:
    """Ids [N, K], log-probabilities [N, K] and the tail's log-mass [N] of all rows together, in any encoding."""
    target_format = SoftTargetFormat.of(table.schema)
    if target_format.encoding == "exact":
        return flat(table, "topk_ids"), flat(table, "topk_log_probs"), flat(table, "tail_log_mass")
    kinds = {"topk_ids": _BYTE, "topk_ids_high": _HIGH[target_format.ids_dtype]}
    parts = [_bytes(table, name, target_format, kinds.get(name, _BYTE)) for name in (*_OF_ENTRIES, "tail_log_mass")]
    ids, log_probs, tail = compact.decode_entries(*parts)
    return ids.astype(_IDS[target_format.ids_dtype]), log_probs.astype(_FLOAT), tail.astype(_FLOAT)


def row_lengths(table: pa.Table) -> npt.NDArray[np.int64]:
    """T of every row, [rows]."""
    return np.asarray(table.column("length").to_numpy(), dtype=np.int64)


def unpack(table: pa.Table) -> list[SoftTargets]:
    """Soft targets row by row; raises DataError as `flat` does."""
    bounds = np.concatenate([[0], np.cumsum(row_lengths(table))])
    columns = [*topk(table), flat(table, "token_log_probs"), flat(table, "entropy")]
    spans = itertools.pairwise(bounds)
    return [SoftTargets(*(column[start:end] for column in columns)) for start, end in spans]


def _exact(arrays: dict[str, Array], target_format: SoftTargetFormat) -> dict[str, Array]:
    with np.errstate(over="ignore"):
        return {
            name: np.ascontiguousarray(values, _IDS[target_format.ids_dtype] if name == "topk_ids" else _FLOAT)
            for name, values in arrays.items()
        }


def _compact(arrays: dict[str, Array], target_format: SoftTargetFormat) -> dict[str, Array]:
    if target_format.vocabulary_size > compact.LARGEST_VOCABULARY:
        raise DataError(
            f"the compact encoding has room for {compact.LARGEST_VOCABULARY} entries, and the vocabulary has "
            f"{target_format.vocabulary_size}; set score.encoding to exact"
        )
    low, high, codes = compact.encode_entries(arrays["topk_ids"], arrays["topk_log_probs"])
    return {
        "topk_ids": low,
        "topk_ids_high": high.astype(_HIGH[target_format.ids_dtype]),
        "topk_log_probs": codes,
        "tail_log_mass": compact.to_bytes(-arrays["tail_log_mass"], compact.POSITION_STEPS),
        "token_log_probs": compact.to_bytes(-arrays["token_log_probs"], compact.POSITION_STEPS),
        "entropy": compact.to_bytes(arrays["entropy"], compact.POSITION_STEPS),
    }


def _packed(name: str, content: Array, lengths: Array) -> pa.Array:
    """One value a row: the bytes of its T positions; `content` is [N, ...]."""
    content = np.ascontiguousarray(content)
    if content.nbytes > LARGEST_COLUMN_BYTES:
        raise DataError(
            f"{name} takes {content.nbytes} bytes; expected at most {LARGEST_COLUMN_BYTES}: make smaller shards"
        )
    ends = np.cumsum(lengths) * (content.nbytes // max(len(content), 1))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(content)])


def _bytes(table: pa.Table, name: str, target_format: SoftTargetFormat, dtype: np.dtype[Any]) -> Array:
    """A column's values as they are on disk, [N, K] or [N]."""
    width = target_format.k if name in _OF_ENTRIES else 1
    column = table.column(name).cast(pa.binary())
    # A column in one piece is not copied; it may lie in the middle of its buffers.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    expected = row_lengths(table) * width * dtype.itemsize
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    if array.null_count or not np.array_equal(np.diff(offsets), expected):
        _raise_misfit(table, name, array, expected)
    content = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]].view(dtype)
    return content.reshape(-1, width) if name in _OF_ENTRIES else content


def _check_values(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise DataError(f"{name} has shape {list(values.shape)}; expected {list(shape)}: N is the sum of lengths")
    if np.isnan(values).any():
        raise DataError(f"{name} holds values that are no numbers (NaN); the teacher's output is unusable")


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
