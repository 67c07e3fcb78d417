"""Whole stage: numbered rows in shards, with words from a file where one is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data.ids import row_id
from data.runtime import Runtime
from data.store import Artifact

VERSION = "1"
LIBRARIES = ("pyarrow",)
INPUTS: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(20, ge=0, le=100_000)
    shard_rows: int = Field(5, ge=1)
    prefix: str = "row"
    words: str = ""
    # Goes into a file beside the shards.
    title: str = ""


def faults(config: Config) -> list[str]:
    missing = config.words and not Path(config.words).is_file()
    return [f"corpus.words: no such file: {config.words}"] if missing else []


def external_files(config: Config) -> list[Path]:
    return [Path(config.words)] if config.words else []


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    prefix = Path(config.words).read_text().strip() if config.words else config.prefix
    for shard, first in enumerate(range(0, config.rows, config.shard_rows)):
        sources = [f"{prefix} {n}" for n in range(first, min(config.rows, first + config.shard_rows))]
        output.write_shard(f"train-{shard:05}", make_table(sources))
    output.write_shard("valid-00000", make_table(["held out"]))
    if config.title:
        (output.work_path() / "README.md").write_text(config.title)
    return {"rows": config.rows}


def make_table(sources: list[str]) -> pa.Table:
    return pa.table({"id": [row_id("en", "de", source) for source in sources], "source": sources})
