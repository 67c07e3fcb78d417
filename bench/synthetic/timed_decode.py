"""decode, that notes with each shard how long its own code was at work; a shard's counter `stage_seconds` says it."""

import dataclasses
import json
import time
from collections.abc import Mapping

import pyarrow as pa

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.decode import stage as decode

VERSION, READS, RESOURCES, LIBRARIES, SCHEMA, SHARES_MODEL = (
    decode.VERSION,
    decode.READS,
    decode.RESOURCES,
    decode.LIBRARIES,
    decode.SCHEMA,
    decode.SHARES_MODEL,
)
Config = decode.Config


@dataclasses.dataclass
class Resources:
    """Those of decode, and seconds that belong to no shard yet."""

    decode: decode.Resources
    seconds: float


def load(config: decode.Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Loads them, and takes the time."""
    started = time.perf_counter()
    loaded = decode.load(config, artifacts, runtime)
    return Resources(loaded, time.perf_counter() - started)


def run(table: pa.Table, config: decode.Config, resources: Resources) -> pa.Table:
    """What decode makes of the table, with a note."""
    started = time.perf_counter()
    result = decode.run(table, config, resources.decode)
    seconds, resources.seconds = resources.seconds + time.perf_counter() - started, 0.0
    metadata = dict(result.schema.metadata or {})
    notes = json.loads(metadata.get(schema.NOTES_KEY, b"{}")) | {"stage_seconds": seconds}
    return result.replace_schema_metadata(metadata | {schema.NOTES_KEY: json.dumps(notes).encode()})


def count(table: pa.Table) -> dict[str, int | float]:
    """As decode counts, with the note."""
    return decode.count(table)
