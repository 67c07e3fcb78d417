"""measure: what every row is worth, in numbers; the stage filter judges by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, flat, row_lengths
from stages.languages.directions import directions_of
from stages.languages.identification import LanguageIdentifier, known_language
from stages.text import measures as text
from stages.text.chrf import chrf_matrix

VERSION = "4"
READS = {
    "corpus": ("source", "reference", "source_language", "target_language"),
    "select": ("target",),
    "score": ("length", "conditioning", "token_log_probs", "entropy"),
}
RESOURCES = ()
LIBRARIES = ("lingua-language-detector", "rapidfuzz")
SCHEMA = schema.MEASURES


class Config(BaseModel):
    """What the measures need to know; all of them are always taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    other_languages: list[str] = Field(
        default_factory=list,
        description="tags of languages that the target is told apart from, beside the source's and its own",
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


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """The language identifier; its models are read when the first row needs them."""
    return Resources(LanguageIdentifier(config.other_languages))


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """MEASURES for rows of corpus, select and score; see stages/text/measures.py for each."""
    too_long = pc.equal(table.column("conditioning"), "none")
    columns: dict[str, Any] = {
        "id": table.column("id"),
        "log_prob_per_token": _means("token_log_probs", table, too_long),
        "mean_entropy": _means("entropy", table, too_long),
        "target_length": row_lengths(table) - 1,
        schema.TOO_LONG: too_long,
        **_by_texts(table, resources.identifier),
    }
    return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def count(table: pa.Table) -> dict[str, int | float]:
    """Rows whose language could not be told, those without a reference, and those too long for the teacher."""
    return {
        "language_unknown": table.column("language_probability").null_count,
        "without_reference": table.column("reference_chrf").null_count,
        schema.TOO_LONG: pc.sum(table.column(schema.TOO_LONG)).as_py() or 0,
    }


def _means(column: str, table: pa.Table, too_long: pa.ChunkedArray) -> pa.Array:
    """By row, over its positions; null where the teacher is not for the row's languages, or the row is too long."""
    means = mean_by_row(flat(table, column), row_lengths(table))
    known = SoftTargetFormat.of(table.schema)
    others = [not known.is_for(str(direction)) for direction in directions_of(table)]
    return pa.array(means, mask=np.array(others, dtype=bool) | too_long.to_numpy())


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
        "language_probability": [identifier.probability(*row) for row in tagged],
        "reference_chrf": [
            None if reference is None else chrf_matrix([target], [reference])[0, 0]
            for target, reference in zip(targets, references, strict=True)
        ],
    }


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, kind)
