"""measure: what every row is worth, in numbers; the stage filter judges by them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from data import schema
from data.artifact import Artifact
from data.model_folder import load_teacher_info
from data.runtime import Runtime
from data.soft_targets import SILENT, SoftTargetFormat, flat, is_known, row_lengths
from stages.languages.directions import directions_of
from stages.languages.identification import LanguageIdentifier, known_language
from stages.text import measures as text
from stages.text.chrf import chrf_matrices
from stages.text.columns import KEYS, Column, Key, Lookup, column_faults, column_files, load_column

VERSION = "6"
READS = {
    "corpus": ("source", "reference", "source_language", "target_language"),
    "select": ("target", "target_tokens", "index"),
    "score": ("length", "conditioning", "token_log_probs", "entropy"),
}
RESOURCES = ("corpus", "teacher")
LIBRARIES = ("lingua-language-detector", "rapidfuzz", "babel")
SCHEMA = schema.MEASURES
UNKNOWN = "<unk>"


class Config(BaseModel):
    """What the measures need to know; all of them are always taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    other_languages: list[str] = Field(
        default_factory=list,
        description="tags of languages that the target is told apart from with most care, beside the source's and its "
        "own; all others that lingua knows are looked for as well",
    )
    columns: tuple[Column, ...] = Field(
        (), description="figures of rows that a file has, for filter.rules.columns and select.metric"
    )

    @field_validator("other_languages")
    @classmethod
    def _known(cls, tags: list[str]) -> list[str]:
        if unknown := [tag for tag in tags if known_language(tag) is None]:
            raise ValueError(f"lingua does not know {', '.join(unknown)}; leave out what it cannot tell apart")
        return tags


@dataclass(frozen=True)
class Resources:
    """What is built once a worker."""

    identifier: LanguageIdentifier
    columns: tuple[Lookup, ...] = ()


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """The language identifier, whose models are read when the first row needs them, and the recipe's columns."""
    identifier = LanguageIdentifier(config.other_languages, _languages(artifacts))
    return Resources(identifier, tuple(load_column(column) for column in config.columns))


def external_files(config: Config) -> list[Path]:
    """The files of the recipe's columns."""
    return column_files(config.columns)


def faults(config: Config) -> list[str]:
    """A line for each of them that is not there."""
    return column_faults(config.columns, "measure.columns")


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """MEASURES for rows of corpus, select and score; see stages/text/measures.py for each."""
    conditioning = table.column("conditioning")
    silent = pc.is_in(conditioning, value_set=pa.array(SILENT))
    without = SoftTargetFormat.of(table.schema).mode != "none"
    columns: dict[str, Any] = {
        "id": table.column("id"),
        "log_prob_per_token": _means("token_log_probs", table, silent),
        "mean_entropy": _means("entropy", table, silent),
        "target_length": row_lengths(table) - 1,
        schema.TOO_LONG: pc.equal(conditioning, "none"),
        schema.WITHOUT_SOFT_TARGETS: pc.and_(pc.equal(conditioning, "unknown"), pa.scalar(without)),
        **_by_texts(table, resources.identifier),
        "columns": _external(table, resources.columns),
    }
    return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def count(table: pa.Table) -> dict[str, int | float]:
    """Rows whose language could not be told, without reference, too long for the teacher, or without soft targets where
    others have some, without a column's value."""
    entries = pc.list_flatten(table.column("columns").combine_chunks())
    named = zip(pc.struct_field(entries, "name").to_pylist(), pc.struct_field(entries, "value"), strict=True)
    found = Counter(dict.fromkeys(pc.struct_field(entries, "name").unique().to_pylist(), 0))
    found.update(name for name, value in named if not value.is_valid)
    return {
        "language_unknown": table.column("language_probability").null_count,
        "without_reference": table.column("reference_chrf").null_count,
        **{name: pc.sum(table.column(name)).as_py() or 0 for name in (schema.TOO_LONG, schema.WITHOUT_SOFT_TARGETS)},
        **{f"without_{name}": missing for name, missing in sorted(found.items())},
    }


def _languages(artifacts: Mapping[str, Artifact]) -> set[str]:
    """Tags of all languages that the corpus or the teacher has."""
    found: set[str] = set()
    if "corpus" in artifacts:
        config = artifacts["corpus"].manifest().config
        for part in (config, *config.get("sources", ()), *config.get("test_sets", ()), *config.get("valid_sets", ())):
            found |= {tag for side in ("source", "target") if (tag := part.get(f"{side}_language"))}
    if "teacher" in artifacts:
        found |= set(load_teacher_info(artifacts["teacher"].path()).language_names)
    return found


def _means(column: str, table: pa.Table, silent: pa.ChunkedArray) -> pa.Array:
    """By row, over its positions; null where the teacher is not for the row's languages, or said nothing of it."""
    if not is_known(table, column):
        return pa.nulls(table.num_rows, pa.float32())
    means = mean_by_row(flat(table, column), row_lengths(table))
    known = SoftTargetFormat.of(table.schema)
    others = [not known.is_for(str(direction)) for direction in directions_of(table)]
    return pa.array(means, mask=np.array(others, dtype=bool) | silent.to_numpy())


def mean_by_row(values: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean over each row's positions, [rows]; `values` [N] of all rows one after the other, `lengths` [rows] >= 1."""
    if not len(lengths):
        return np.zeros(0)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.asarray(np.add.reduceat(values.astype(np.float64), starts) / lengths)


def _by_texts(table: pa.Table, identifier: LanguageIdentifier) -> dict[str, Sequence[Any]]:
    names = ("source", "target", "reference", "source_language", "target_language")
    sources, targets, references, *languages = (table.column(name).to_pylist() for name in names)
    pairs = list(zip(sources, targets, strict=True))
    tagged = zip(targets, *languages, strict=True)
    return {
        "length_ratio": [text.length_ratio(*pair) for pair in pairs],
        "source_copy": [text.source_copy(*pair) for pair in pairs],
        "repetition": [text.repetition(target) for target in targets],
        "placeholders_lost": [text.placeholders_lost(*pair) for pair in pairs],
        "numbers_lost": [text.numbers_lost(*pair) for pair in pairs],
        "unknown_tokens": _unknown(table.column("target_tokens"), pairs),
        "remarks": [text.remarks(*row) for row in zip(sources, targets, *languages, strict=True)],
        "line_breaks": [text.line_breaks(*pair) for pair in pairs],
        "language_probability": [identifier.probability(*row) for row in tagged],
        "reference_chrf": _reference_chrf(targets, references),
    }


def _reference_chrf(targets: Sequence[str], references: Sequence[str | None]) -> list[float | None]:
    """Of all rows at once, which is what makes it fast."""
    rows = [([target], [one]) for target, one in zip(targets, references, strict=True) if one is not None]
    found = iter(chrf_matrices(rows) if rows else [])
    return [None if one is None else float(next(found)[0, 0]) for one in references]


def _unknown(tokens: pa.ChunkedArray, pairs: Sequence[tuple[str, str]]) -> list[int]:
    """By token or by mark, as some tokenizers write what they do not know."""
    rows = zip(tokens.to_pylist(), pairs, strict=True)
    return [max(sum(token == UNKNOWN for token in row), text.unknown_marks(*pair)) for row, pair in rows]


def _external(table: pa.Table, columns: Sequence[Lookup]) -> list[list[dict[str, Any]]]:
    """Each row's own columns."""
    if not columns:
        return [[] for _ in range(table.num_rows)]
    names: Mapping[Key, str] = {**{key: key for key in KEYS}, "rank": "index"}
    keys: dict[Key, list[Any]] = {key: table.column(names[key]).to_pylist() for key in KEYS}
    found = {column.name: column.find(keys).tolist() for column in columns}
    return [
        [{"name": name, "value": None if values[row] != values[row] else values[row]} for name, values in found.items()]
        for row in range(table.num_rows)
    ]


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, kind)
