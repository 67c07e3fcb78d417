"""measure, without looking at the texts: numbers made of the row's id, so that any number of shards has the same share
of rows that fail.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime

VERSION = "1"
READS = {"corpus": (), "score": ("length",)}
RESOURCES = ()
LIBRARIES: tuple[str, ...] = ()
SCHEMA = schema.MEASURES
# Rows of which a placeholder is lost: those whose id gives a number below it.
LOST = 0.05
# What of the id's digits each measure is made of.
_DIGITS = 6


class Config(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> None:
    """Nothing to load."""


def run(table: pa.Table, config: Config, resources: None) -> pa.Table:
    """MEASURES for a table with `id`."""
    ids = table.column("id").to_pylist()
    columns = {
        "length_ratio": 0.5 + uniform(ids, 0),
        "source_copy": 0.8 * uniform(ids, 0),
        "repetition": 0.5 * uniform(ids, 0),
        "log_prob_per_token": -uniform(ids, _DIGITS),
        "mean_entropy": 5 * uniform(ids, _DIGITS),
        "reference_chrf": 100 * uniform(ids, _DIGITS),
        "language_probability": 0.2 + 0.8 * uniform(ids, _DIGITS),
        "target_length": np.full(len(ids), 10, np.int32),
        schema.TOO_LONG: np.zeros(len(ids), bool),
        schema.WITHOUT_SOFT_TARGETS: np.zeros(len(ids), bool),
        "placeholders_lost": (uniform(ids, 2 * _DIGITS) < LOST).astype(np.int32),
        "numbers_lost": np.zeros(len(ids), np.int32),
        "unknown_tokens": np.zeros(len(ids), np.int32),
        "remarks": np.zeros(len(ids), np.int32),
        "line_breaks": np.zeros(len(ids), np.int32),
        "columns": [[] for _ in ids],
    }
    arrays = [pa.array(columns[field.name]).cast(field.type, safe=False) for field in SCHEMA if field.name != "id"]
    return pa.Table.from_arrays([table.column("id"), *arrays], schema=SCHEMA)


def uniform(ids: list[str], first: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each id, of six of its hexadecimal digits."""
    numbers = np.array([int(one[first : first + _DIGITS], 16) for one in ids], dtype=np.float64)
    return numbers / 16.0**_DIGITS
