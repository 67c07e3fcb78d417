"""Columns of somebody else's: figures of rows or hypotheses that a file has, joined by what it names them by."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from data.errors import DataError

Key = Literal["id", "source", "target", "rank"]
KEYS: tuple[Key, ...] = ("id", "source", "target", "rank")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DIGEST_BYTES, _ROWS_AT_ONCE = 16, 65_536
Array = npt.NDArray[np.float64]


class Column(BaseModel):
    """A figure that somebody else found, such as a quality estimate or a person's rating, and the file that has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what it is called in filter.rules.columns and, as column:NAME, in select.metric")
    path: str = Field(description="a Parquet file, or tab-separated text whose first line names its columns")
    value: str = Field("", description="the file's column with the values; by default the one that is called name")
    by: tuple[Key, ...] = Field(
        (),
        description="the file's columns that say which row a value is of: id, source, target (the text of a "
        "hypothesis), rank (its place in the n-best, from 0); by default all of these that it has",
    )
    higher_is_better: bool = Field(True, description="what select takes: the largest value, or the smallest")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r}: expected small letters, digits and _, a letter first")
        return name


def column_faults(columns: Sequence[Column], section: str) -> list[str]:
    """A line for each file that is not there, and for each name that comes twice."""
    names = [column.name for column in columns]
    twice = [f"{section}: {name} comes twice; give each its own name" for name in names if names.count(name) > 1]
    missing = [
        f"{section}[{place}].path: {column.path}: no such file"
        for place, column in enumerate(columns)
        if not Path(column.path).is_file()
    ]
    return [*dict.fromkeys(twice), *missing]


def column_files(columns: Sequence[Column]) -> list[Path]:
    """The files, whose content belongs to the fingerprint."""
    return [path for path in dict.fromkeys(Path(column.path) for column in columns) if path.exists()]


@dataclass(frozen=True)
class Lookup:
    """A column in memory: 24 bytes a value. Arrays are [values], sorted by digest."""

    name: str
    path: str
    by: tuple[Key, ...]
    digests: npt.NDArray[np.bytes_]
    values: Array

    def find(self, keys: Mapping[Key, Sequence[Any]]) -> Array:
        """The value of each row, [rows]; NaN where the file has none."""
        wanted = _digests([keys[key] for key in self.by])
        if not len(self.digests) or not len(wanted):
            return np.full(len(wanted), np.nan)
        place = np.minimum(np.searchsorted(self.digests, wanted), len(self.digests) - 1)
        return np.where(self.digests[place] == wanted, self.values[place], np.nan)


def load_column(column: Column) -> Lookup:
    """Reads a column's file; raises DataError where it cannot be read, or says two things of one row."""
    digests, values = [], []
    by: tuple[Key, ...] = ()
    for first, table in _tables(column):
        by = by or _by(column, table.schema.names)
        digests.append(_digests([table.column(key).to_pylist() for key in by]))
        values.append(_values(column, table, first))
    if not digests:
        raise DataError(f"{column.path}: has no rows, and so no values for the column {column.name}")
    return _sorted(column, by, np.concatenate(digests), np.concatenate(values))


def _sorted(column: Column, by: tuple[Key, ...], digests: npt.NDArray[np.bytes_], values: Array) -> Lookup:
    order = np.argsort(digests, kind="stable")
    digests, values = digests[order], values[order]
    same = digests[1:] == digests[:-1]
    differs = np.flatnonzero(same & ~np.isclose(values[1:], values[:-1], rtol=0, atol=0, equal_nan=True))
    if len(differs):
        place = int(differs[0])
        raise DataError(
            f"{column.path}: rows {order[place] + 1:,} and {order[place + 1] + 1:,} are the same by {', '.join(by)}, "
            f"and their {column.value or column.name} is {values[place]:g} and {values[place + 1]:g}: which is right?"
            " Keep one of them, or let the file say more of what it is about (target or rank)"
        )
    kept = np.concatenate([[True], ~same])
    return Lookup(column.name, column.path, by, digests[kept], values[kept])


def _by(column: Column, names: Sequence[str]) -> tuple[Key, ...]:
    """What rows are named by; raises DataError where the file lacks it, or what it has cannot name a row."""
    value = column.value or column.name
    by = column.by or tuple(key for key in KEYS if key in names)
    missing = [name for name in (*by, value) if name not in names]
    if missing or not by or by == ("rank",):
        raise DataError(
            f"{column.path}: has the columns {', '.join(names)}; expected {value}, and "
            f"{', '.join(column.by) or 'id, or source and target'} to tell which row it is of"
        )
    return by


def _tables(column: Column) -> Iterator[tuple[int, pa.Table]]:
    """Parts of the file's table, each with its first row's number, from 0."""
    first = 0
    try:
        for table in _read(column):
            yield first, table
            first += table.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{column.path}: cannot be read near row {first + 1:,}: {error}") from None


def _read(column: Column) -> Iterator[pa.Table]:
    with Path(column.path).open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    wanted = {*KEYS, column.value or column.name}
    if is_parquet:
        import pyarrow.parquet as pq

        with pq.ParquetFile(column.path) as parquet:
            names = [name for name in parquet.schema_arrow.names if name in wanted]
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=names):
                yield pa.Table.from_batches([batch])
        return
    from pyarrow import csv

    reader = csv.open_csv(
        column.path,
        read_options=csv.ReadOptions(block_size=1 << 24),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False, newlines_in_values=False),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
        ),
    )
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _values(column: Column, table: pa.Table, first: int) -> Array:
    """The values, [rows]; NaN for nothing and for NaN. Raises DataError at what is no finite number."""
    given = table.column(column.value or column.name)
    if pa.types.is_boolean(given.type) or pa.types.is_integer(given.type) or pa.types.is_floating(given.type):
        found = np.asarray(given.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    else:
        found = np.array([_number(value) for value in given.to_pylist()], dtype=np.float64)
    if len(wrong := np.flatnonzero(np.isinf(found))):
        row = int(wrong[0])
        raise DataError(
            f"{column.path}: {given[row].as_py()!r} in row {first + row + 1:,} is no finite number; leave the value out"
            " where there is none"
        )
    return found


def _number(value: Any) -> float:
    """Infinity for what is none."""
    text = "" if value is None else str(value).strip()
    if not text or text.casefold() in ("nan", "na", "null", "none"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.inf


def _digests(columns: Sequence[Sequence[Any]]) -> npt.NDArray[np.bytes_]:
    """A digest of each row's keys, [rows]; texts are the same where only space in them differs."""
    rows = zip(*columns, strict=True)
    found = [blake2b("\x1f".join(map(_text, row)).encode(), digest_size=_DIGEST_BYTES).digest() for row in rows]
    return np.array(found, dtype=f"S{_DIGEST_BYTES}")


def _text(key: Any) -> str:
    whole = isinstance(key, float) and key.is_integer()
    return "" if key is None else _folded(str(int(key) if whole else key))


# An n-best list's hypotheses have one id and one source.
@lru_cache(maxsize=1024)
def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))
