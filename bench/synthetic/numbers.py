"""corpus, of nothing but shards: as many as are asked for, of one row each, all the same file."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data import schema
from data.artifact import Artifact
from data.ids import row_id
from data.manifest import WrittenShard
from data.parquet import SUFFIX
from data.runtime import Runtime

VERSION = "1"
INPUTS: tuple[str, ...] = ()
LIBRARIES: tuple[str, ...] = ()
# File systems bound how many names a file may have; ext4 at 65,000.
MOST_LINKS = 10_000


class Config(BaseModel):
    """How many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: int = Field(1000, description="shards of one row", ge=1, le=10_000_000)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes one shard, and its file and its record again under all other names; local stores only."""
    row = {"id": row_id("en", "de", "one"), "source": "one", "reference": "eins", "origin": "made", "location": "1"}
    languages = {"source_language": "en", "target_language": "de", "split": "train"}
    table = pa.Table.from_pylist([row | languages], schema=schema.PAIRS)
    first = "train-000000"
    output.write_shard(first, table)
    folder = Path(output.url)
    linked, noted = folder / f"{first}{SUFFIX}", folder / ".records" / f"{first}{SUFFIX}.json"
    written = WrittenShard.model_validate_json(noted.read_bytes())
    for number in range(1, config.shards):
        name = f"train-{number:06d}"
        path = folder / f"{name}{SUFFIX}"
        if number % MOST_LINKS:
            os.link(linked, path)
        else:
            linked = Path(shutil.copyfile(linked, path))
        record = written.record.model_copy(update={"name": name})
        noted.with_name(f"{name}{SUFFIX}.json").write_text(
            written.model_copy(update={"record": record}).model_dump_json()
        )
    return {}
