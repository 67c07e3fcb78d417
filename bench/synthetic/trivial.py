"""A shard stage that does nothing, so that all its time is the cluster's and the store's."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime

VERSION = "1"
READS = {"corpus": ("source",)}
RESOURCES = ()
LIBRARIES: tuple[str, ...] = ()
SCHEMA = pa.schema([schema.ID, pa.field("number", pa.int32(), nullable=False, metadata={"comment": "always 0"})])


class Config(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> None:
    """Nothing to load."""


def run(table: pa.Table, config: Config, resources: None) -> pa.Table:
    """A zero a row."""
    return pa.Table.from_arrays([table.column("id"), pa.array(np.zeros(table.num_rows, np.int32))], schema=SCHEMA)
