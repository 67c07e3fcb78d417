"""decode, without a model: two hypotheses, the reference (or the source) with other vowels; a token is a word."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from data.teachers import FIRST

VERSION = "1"
READS = {"corpus": ("source", "reference")}
RESOURCES = ()
LIBRARIES: tuple[str, ...] = ()
SCHEMA = schema.NBEST
# What each hypothesis has of the text it is made from.
CHANGES = (("e", "a"), ("d", "ou"))


class Config(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> None:
    """Nothing to load."""


def run(table: pa.Table, config: Config, resources: None) -> pa.Table:
    """NBEST for a table with `id`, `source` and `reference`."""
    texts = pc.coalesce(table.column("reference"), table.column("source")).combine_chunks()
    changed = [pc.replace_substring(texts, *change).cast(pa.string()) for change in CHANGES]
    rows, kinds = len(texts), len(CHANGES)
    # Row by row: the first hypotheses stand in front of the second ones.
    order = pa.array(np.arange(rows * kinds).reshape(kinds, rows).T.reshape(-1))
    flat = pa.concat_arrays(changed).take(order)
    scores = pa.array(np.tile(-0.5 * np.arange(1, kinds + 1, dtype=np.float32), rows))
    kind = SCHEMA.field("hypotheses").type.value_type
    names = pa.repeat(FIRST, len(flat))
    entries = pa.StructArray.from_arrays([pc.split_pattern(flat, " "), flat, scores, names], fields=list(kind))
    offsets = pa.array(np.arange(0, rows * kinds + 1, kinds, dtype=np.int32))
    column = pa.ListArray.from_arrays(offsets, entries).cast(SCHEMA.field("hypotheses").type)
    return pa.Table.from_arrays([table.column("id"), column], schema=SCHEMA)
