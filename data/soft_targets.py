"""Soft targets as packed columns: what the teacher thought at every target position.

Of a row with T positions (`</s>` included) the file holds little-endian, row-major bytes: `topk_ids` [T, K]
as u16 or u32, all others as f16; or, in the compact encoding, those of data/compact.py. How to read them stands in
the schema's metadata, see `SoftTargetFormat`. N is the number of positions of all rows of a table together.

Here are the K most probable entries of a position (mode topk); entries that were drawn (mode sampled) are in
data/drawn_targets.py. What is kept of a position beside its entries is read by `flat` in both. Mode none says that
there are none: the translations were given, and nothing is known of what else their teacher held probable.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data import compact
from data.errors import DataError
from data.packed_columns import packed, unpacked
from data.schema import SOFT_TARGETS

METADATA_KEY = b"potstill.soft_targets"
# Rounding lets a log-probability come out a little above 0; raw logits, stored by mistake, are far above.
LARGEST_LOG_PROB = 0.01
_FLOAT: np.dtype[Any] = np.dtype("<f2")
_BYTE: np.dtype[Any] = np.dtype("u1")
_IDS: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
# Of what is beyond the low byte, in the compact encoding.
_HIGH: dict[str, np.dtype[Any]] = {"uint16": _BYTE, "uint32": np.dtype("<u2")}
_OF_ENTRIES = ("topk_ids", "topk_ids_high", "topk_log_probs")
_OF_TEMPERATURES = "tempered_tail_log_mass"

Array = npt.NDArray[Any]

Conditioning = Literal["hypothesis", "reference", "none", "unknown"]
# Of these nothing is known: all entries count as equal.
SILENT: tuple[Conditioning, ...] = ("none", "unknown")
Mode = Literal["topk", "sampled", "none"]


class FusedTeacher(BaseModel):
    """One of the teachers whose soft targets were fused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="as the recipe has it")
    digest: str = Field(description="digest of the teacher's files")
    weight: float = Field(gt=0, description="its share in the mean, in any unit, of the rows whose languages it has")


class SoftTargetFormat(BaseModel):
    """How soft targets were made and how to read them; kept in the schema's metadata as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field(
        "topk",
        description="topk: the K most probable entries; sampled: entries drawn, with counts; none: there are none",
    )
    k: int = Field(ge=0, description="K: most probable entries kept a position; 0 in other modes")
    draws: int = Field(0, description="entries drawn a position, with replacement; 0 where not sampled", ge=0, lt=2**16)
    seed: int = Field(0, description="what the draws followed, beside the row's id")
    temperatures: tuple[float, ...] = Field(
        (), description="M temperatures beside 1 at which the tail's mass is known, in tempered_tail_log_mass"
    )
    vocabulary_size: int = Field(ge=1, description="V: entries of the teacher's target vocabulary")
    ids_dtype: Literal["uint16", "uint32"] = Field(description="type of the ids; exact: as they are in topk_ids")
    vocabulary_digest: str = Field(description="digest of the teacher's target vocabulary, in order")
    teacher_digest: str = Field(description="digest of the teacher's files; of all names, digests and weights if fused")
    fused: tuple[FusedTeacher, ...] = Field(
        (),
        description="the teachers whose weighted mean this is (stages/fuse/); none where it is one's own",
    )
    pairs: tuple[str, ...] = Field(
        (),
        description="language pairs that the teacher is for, such as en-de; it knows nothing of rows of others; "
        "none: all",
    )
    compute_type: str = Field(description="the teacher's arithmetic: int8, float32, ...")
    backend: str = Field(description="what computed them: ctranslate2 or torch; given: somebody else")
    encoding: Literal["exact", "compact"] = Field("exact", description="exact: arrays; compact: see data/compact.py")

    @model_validator(mode="after")
    def _mode_has_its_numbers(self) -> Self:
        asked = (self.k > 0, self.draws > 0)
        if asked != (self.mode == "topk", self.mode == "sampled") or (self.mode != "topk" and self.temperatures):
            raise ValueError(f"mode {self.mode} with k {self.k}, draws {self.draws}, temperatures {self.temperatures}")
        return self

    @property
    def ids_type(self) -> np.dtype[Any]:
        """Of the ids as they are in the exact encoding."""
        return _IDS[self.ids_dtype]

    @property
    def high_type(self) -> np.dtype[Any]:
        """Of what is beyond the low byte of an id's gap, in the compact encoding."""
        return _HIGH[self.ids_dtype]

    def is_for(self, pair: str) -> bool:
        """Whether rows of a language pair hold what the teacher says; in those of others all entries are equal."""
        return not self.pairs or pair in self.pairs

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
    entropy: Array  # [T] float16; NaN where it is not known


def smallest_ids_dtype(vocabulary_size: int) -> Literal["uint16", "uint32"]:
    """The smaller of the two types of ids that holds 0 .. V - 1."""
    return "uint16" if vocabulary_size <= 2**16 else "uint32"


def pack(
    *,
    row_ids: Sequence[str],
    lengths: Sequence[int],
    conditioning: Conditioning | Sequence[Conditioning],
    topk_ids: Array,
    topk_log_probs: Array,
    tail_log_mass: Array,
    token_log_probs: Array,
    entropy: Array | None,
    target_format: SoftTargetFormat,
    tempered_tail_log_mass: Array | None = None,
) -> pa.Table:
    """A SOFT_TARGETS table of mode topk from the positions of all rows, one row after the other.

    `lengths` [rows] holds each row's T, `conditioning` what was forced: one for all rows or one a row. `topk_*` are
    [N, K] with the most probable entry first, `tempered_tail_log_mass` [N, M] where the format names M temperatures,
    the others [N]; `entropy` is None where it is not known. Raises DataError when shapes do not fit, an id is outside
    0 .. V - 1, a value is no number, or log-probabilities are above 0 or not sorted.
    """
    _check_mode(target_format, "topk")
    positions, k = position_count(row_ids, lengths), target_format.k
    check_values("topk_ids", topk_ids, (positions, k))
    check_values("topk_log_probs", topk_log_probs, (positions, k))
    check_ids("topk_ids", topk_ids, target_format.vocabulary_size)
    if (topk_log_probs[:, 1:] > topk_log_probs[:, :-1]).any():
        raise DataError("topk_log_probs are not sorted; expected the most probable entry first at every position")
    tempered = np.empty((positions, 0)) if tempered_tail_log_mass is None else tempered_tail_log_mass
    check_values(_OF_TEMPERATURES, tempered, (positions, len(target_format.temperatures)))
    check_log_probs(topk_log_probs, tempered)
    encode = _compact if target_format.encoding == "compact" else _exact
    content = encode({"topk_ids": topk_ids, "topk_log_probs": topk_log_probs}, target_format)
    of_positions = {"tail_log_mass": tail_log_mass, "token_log_probs": token_log_probs}
    of_positions |= {} if entropy is None else {"entropy": entropy}
    content |= position_columns(of_positions, positions, target_format)
    if target_format.temperatures:
        content[_OF_TEMPERATURES] = _encoded(_OF_TEMPERATURES, tempered, target_format)
    columns = {name: packed(name, values, np.asarray(lengths)) for name, values in content.items()}
    return table_of(row_ids, lengths, conditioning, columns, target_format)


def pack_nothing(row_ids: Sequence[str], lengths: Sequence[int], target_format: SoftTargetFormat) -> pa.Table:
    """A SOFT_TARGETS table of mode none: how many positions each target has, and no more."""
    _check_mode(target_format, "none")
    position_count(row_ids, lengths)
    return table_of(row_ids, lengths, "unknown", {}, target_format)


def table_of(
    row_ids: Sequence[str],
    lengths: Sequence[int],
    conditioning: Conditioning | Sequence[Conditioning],
    columns: Mapping[str, pa.Array],
    target_format: SoftTargetFormat,
) -> pa.Table:
    """A SOFT_TARGETS table of packed columns, null in those that are not there; DataError when rows do not fit."""
    rows = len(row_ids)
    forced = [conditioning] * rows if isinstance(conditioning, str) else list(conditioning)
    if len(forced) != rows:
        raise DataError(f"{rows} rows with {len(forced)} values of conditioning; expected one a row")
    known = {
        "id": pa.array(row_ids, pa.string()),
        "length": pa.array(lengths, pa.int32()),
        "conditioning": pa.array(forced, pa.string()),
        **columns,
    }
    schema = target_format.attach(SOFT_TARGETS)
    missing = pa.nulls(rows, pa.binary())
    return pa.Table.from_arrays([known.get(name, missing) for name in schema.names], schema=schema)


def position_columns(values: Mapping[str, Array], positions: int, target_format: SoftTargetFormat) -> dict[str, Array]:
    """What there is one of a position, checked and encoded; all but `entropy` are log-probabilities."""
    for name, each in values.items():
        check_values(name, each, (positions,))
    check_log_probs(*(each for name, each in values.items() if name != "entropy"))
    return {name: _encoded(name, each, target_format) for name, each in values.items()}


def flat(table: pa.Table, name: str) -> Array:
    """One packed column of all rows together: [N, K] for `topk_*`, [N, M] for `tempered_tail_log_mass`, else [N].

    Needs the columns `length` and `name` alone; what is said of the entries (`topk_*`, `tail_log_mass`) is decoded
    together in the compact encoding and needs all of them. An exact column in one piece is not copied.
    Raises DataError when a row's bytes are not T * K * item size, or the table's mode has no such column.
    """
    target_format = SoftTargetFormat.of(table.schema)
    if name not in ("token_log_probs", "entropy") or target_format.mode == "none":
        _check_mode(target_format, "topk")
    if name == "entropy" and not is_known(table, name):
        raise DataError("entropy is empty: the teacher is given, and told of the most probable entries alone")
    if name == _OF_TEMPERATURES and not target_format.temperatures:
        raise DataError(f"{name} is empty: score kept no temperature but 1; set score.temperatures")
    if target_format.encoding == "exact":
        return _values(table, name, target_format, target_format.ids_type if name == "topk_ids" else _FLOAT)
    if name in ("topk_ids", "topk_log_probs", "tail_log_mass"):
        return dict(zip(("topk_ids", "topk_log_probs", "tail_log_mass"), topk(table), strict=True))[name]
    values = compact.from_bytes(compact.POSITION_STEPS)[_values(table, name, target_format, _BYTE)].astype(_FLOAT)
    return values if name == "entropy" else -values


def is_known(table: pa.Table, name: str) -> bool:
    """Whether there is a column of positions for the rows of a table: a teacher that is given does not tell all."""
    nulls = int(table.column(name).null_count)
    return nulls < max(int(table.num_rows), 1)


def topk(table: pa.Table) -> tuple[Array, Array, Array]:
    """Ids [N, K], log-probabilities [N, K] and the tail's log-mass [N] of all rows together, in any encoding.

    Raises DataError when the soft targets are sampled, or there are none.
    """
    target_format = SoftTargetFormat.of(table.schema)
    _check_mode(target_format, "topk")
    if target_format.encoding == "exact":
        return flat(table, "topk_ids"), flat(table, "topk_log_probs"), flat(table, "tail_log_mass")
    kinds = {"topk_ids": _BYTE, "topk_ids_high": target_format.high_type}
    parts = [_values(table, name, target_format, kinds.get(name, _BYTE)) for name in (*_OF_ENTRIES, "tail_log_mass")]
    ids, log_probs, tail = compact.decode_entries(*parts)
    return ids.astype(target_format.ids_type), log_probs.astype(_FLOAT), tail.astype(_FLOAT)


def tempered_tail(table: pa.Table, temperature: float) -> Array:
    """Log-mass [N] of the tail in the teacher's distribution at this temperature; DataError when it was not kept."""
    known = SoftTargetFormat.of(table.schema).temperatures
    if temperature not in known:
        exact = ", ".join(f"{each:g}" for each in (1.0, *known))
        raise DataError(
            f"the soft targets are exact at temperature {exact} and not at {temperature:g}: score again with "
            f"score.temperatures = [{temperature:g}], or temper what was kept alone, with "
            'objective.soft_targets.tempering = "buckets"'
        )
    values: Array = flat(table, _OF_TEMPERATURES)[:, known.index(temperature)]
    return values


def row_lengths(table: pa.Table) -> npt.NDArray[np.int64]:
    """T of every row, [rows]."""
    return np.asarray(table.column("length").to_numpy(), dtype=np.int64)


def unpack(table: pa.Table) -> list[SoftTargets]:
    """Soft targets row by row; raises DataError as `flat` does."""
    bounds = np.concatenate([[0], np.cumsum(row_lengths(table))])
    entropy = flat(table, "entropy") if is_known(table, "entropy") else np.full(bounds[-1], np.nan, _FLOAT)
    columns = [*topk(table), flat(table, "token_log_probs"), entropy]
    spans = itertools.pairwise(bounds)
    return [SoftTargets(*(column[start:end] for column in columns)) for start, end in spans]


def position_count(row_ids: Sequence[str], lengths: Sequence[int]) -> int:
    """N; raises DataError when there is not a length of at least 1 for every row."""
    positions = np.asarray(lengths, dtype=np.int64)
    if len(positions) != len(row_ids) or (positions < 1).any():
        raise DataError(
            f"{len(row_ids)} rows with {len(positions)} lengths {positions.tolist()[:8]}; expected one >= 1 a row"
        )
    return int(positions.sum())


def check_values(name: str, values: Array, shape: tuple[int, ...]) -> None:
    """Raises DataError when the array has another shape, or holds what is no number."""
    if values.shape != shape:
        raise DataError(f"{name} has shape {list(values.shape)}; expected {list(shape)}: N is the sum of lengths")
    if np.isnan(values).any():
        raise DataError(f"{name} holds values that are no numbers (NaN); the teacher's output is unusable")


def check_ids(name: str, ids: Array, vocabulary_size: int) -> None:
    """Raises DataError when there is an id that the vocabulary has not."""
    if not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"{name} are {ids.dtype}; expected integers")
    if ids.size and (ids.min() < 0 or ids.max() >= vocabulary_size):
        raise DataError(f"{name} lie in {ids.min()} .. {ids.max()}; expected 0 .. {vocabulary_size - 1}")


def check_log_probs(*arrays: Array) -> None:
    """Raises DataError when a value is above 0 by more than rounding."""
    largest = max((float(values.max()) for values in arrays if values.size), default=0.0)
    if largest > LARGEST_LOG_PROB:
        raise DataError(f"a log-probability is {largest:.4g}; expected at most 0: are these raw logits?")


def check_room(target_format: SoftTargetFormat) -> None:
    """Raises DataError when the compact encoding has no room for the vocabulary's ids."""
    if target_format.vocabulary_size > compact.LARGEST_VOCABULARY:
        raise DataError(
            f"the compact encoding has room for {compact.LARGEST_VOCABULARY} entries, and the vocabulary has "
            f"{target_format.vocabulary_size}; set score.encoding to exact"
        )


def _check_mode(target_format: SoftTargetFormat, mode: Mode) -> None:
    if target_format.mode == mode:
        return
    if target_format.mode == "none":
        raise DataError(
            "there are no soft targets: the translations were given without log-probabilities; learn from the "
            "hypotheses alone, with objective.soft_targets.weight = 0"
        )
    found = f"sampled ({target_format.draws} draws a position): they hold counts of what was drawn"
    if target_format.mode == "topk":
        found = f"the {target_format.k} most probable entries"
    raise DataError(
        f"these soft targets are {found}, and expected was mode {mode}; read sampled ones with "
        f'data.drawn_targets.drawn, or score again with score.mode = "{mode}"'
    )


def _encoded(name: str, values: Array, target_format: SoftTargetFormat) -> Array:
    if target_format.encoding == "compact":
        return compact.to_bytes(values if name == "entropy" else -values, compact.POSITION_STEPS)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, _FLOAT)


def _exact(arrays: dict[str, Array], target_format: SoftTargetFormat) -> dict[str, Array]:
    return {
        "topk_ids": np.ascontiguousarray(arrays["topk_ids"], target_format.ids_type),
        "topk_log_probs": _encoded("topk_log_probs", arrays["topk_log_probs"], target_format),
    }


def _compact(arrays: dict[str, Array], target_format: SoftTargetFormat) -> dict[str, Array]:
    check_room(target_format)
    low, high, codes = compact.encode_entries(arrays["topk_ids"], arrays["topk_log_probs"])
    return {"topk_ids": low, "topk_ids_high": high.astype(target_format.high_type), "topk_log_probs": codes}


def _values(table: pa.Table, name: str, target_format: SoftTargetFormat, dtype: np.dtype[Any]) -> Array:
    """A column's values as they are on disk, [N, K], [N, M] or [N]."""
    if name in _OF_ENTRIES:
        width, meaning = target_format.k, "T * K"
    elif name == _OF_TEMPERATURES:
        width, meaning = len(target_format.temperatures), "T * M"
    else:
        return unpacked(table, name, row_lengths(table), dtype, "T")
    return unpacked(table, name, row_lengths(table) * width, dtype, meaning).reshape(-1, width)
