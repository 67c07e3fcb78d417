"""score, of a teacher that is given without log-probabilities: how long each target is, and no soft targets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from data import schema
from data.artifact import Artifact
from data.model_folder import TeacherInfo, load_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, pack_nothing, smallest_ids_dtype

VERSION = "1"
READS = {"select": ("target_tokens",)}
RESOURCES = ("teacher",)
LIBRARIES: tuple[str, ...] = ()
SCHEMA = schema.SOFT_TARGETS


class Config(BaseModel):
    """It has no options."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True)
class Resources:
    """What is known of the teacher."""

    info: TeacherInfo


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Likewise."""
    return Resources(load_teacher_info(artifacts["teacher"].path()))


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SOFT_TARGETS of mode none for rows with `target_tokens`."""
    info = resources.info
    target_format = SoftTargetFormat(
        mode="none",
        k=0,
        vocabulary_size=info.target_vocabulary_size,
        ids_dtype=smallest_ids_dtype(info.target_vocabulary_size),
        vocabulary_digest=info.vocabulary_digest,
        teacher_digest=info.digest,
        compute_type="none",
        backend="given",
    )
    lengths = pc.add(pc.list_value_length(table.column("target_tokens")), 1).to_pylist()
    result = pack_nothing(table.column("id").to_pylist(), lengths, target_format)
    noted = {schema.NOTES_KEY: json.dumps({"unknown": table.num_rows}).encode()}
    return result.replace_schema_metadata({**result.schema.metadata, **noted})


def count(table: pa.Table) -> dict[str, int | float]:
    """Rows of which nothing is known: all of them."""
    notes: dict[str, int | float] = json.loads(table.schema.metadata[schema.NOTES_KEY])
    return notes
