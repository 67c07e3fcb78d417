"""score, without a model: two soft targets a position, all made of the row's place in its shard."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from bench.synthetic.teacher import DIGEST, VOCABULARY
from data import schema
from data.artifact import Artifact
from data.model_folder import vocabulary_digest
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, pack

VERSION = "1"
READS = {"select": ("target_tokens",)}
RESOURCES = ()
LIBRARIES: tuple[str, ...] = ()
SCHEMA = schema.SOFT_TARGETS


class Config(BaseModel):
    """How much is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(2, description="entries kept a position", ge=1, le=64)


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> SoftTargetFormat:
    """How they are kept."""
    return SoftTargetFormat(
        k=config.k,
        vocabulary_size=len(VOCABULARY),
        ids_dtype="uint16",
        vocabulary_digest=vocabulary_digest(VOCABULARY),
        teacher_digest=DIGEST,
        compute_type="int8",
        backend="ctranslate2",
    )


def run(table: pa.Table, config: Config, resources: SoftTargetFormat) -> pa.Table:
    """SOFT_TARGETS for a table with `id` and `target_tokens`."""
    lengths = np.asarray(pc.list_value_length(table.column("target_tokens")).to_numpy()) + 1
    random = np.random.default_rng(len(lengths))
    positions, k = int(lengths.sum()), config.k
    log_probs = -np.cumsum(random.random((positions, k), dtype=np.float32) + 0.1, axis=1)
    return pack(
        row_ids=table.column("id").to_pylist(),
        lengths=lengths.tolist(),
        conditioning="hypothesis",
        topk_ids=random.integers(0, len(VOCABULARY), (positions, k), dtype=np.uint16),
        topk_log_probs=log_probs,
        tail_log_mass=log_probs[:, -1] - 1,
        token_log_probs=log_probs[:, 0],
        entropy=-log_probs[:, -1],
        target_format=resources,
    )
