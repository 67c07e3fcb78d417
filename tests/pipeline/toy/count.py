"""Shard stage: length of the shouted text. Reads two tables and no resource."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

VERSION = "1"
READS = {"corpus": ("source",), "shout": ("loud",)}
RESOURCES: tuple[str, ...] = ()
LIBRARIES = ("pyarrow",)
SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("length", pa.int32(), nullable=False)])


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    swap_ids: bool = False


def load(config: Config, artifacts: object, runtime: object) -> None:
    return None


def run(table: pa.Table, config: Config, resources: None) -> pa.Table:
    ids = table.column("id").to_pylist()
    lengths = [len(text) for text in table.column("loud").to_pylist()]
    return pa.table([ids[::-1] if config.swap_ids else ids, pa.array(lengths, pa.int32())], schema=SCHEMA)
