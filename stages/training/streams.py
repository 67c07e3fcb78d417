"""From artefacts to the streams that a student is trained on."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from data.artifact import Artifact
from data.errors import DataError
from stages.training.api import TrainingData
from stages.training.batches import Stream
from stages.training.data_config import Data, kinds_of
from stages.training.objective_config import ObjectiveConfig
from stages.training.soft_columns import COLUMNS, SoftTargetColumns
from stages.training.vocabulary import Vocabulary

_TEXT = ("source", "reference")
_FORCED = ("source", "target_tokens")


def training_data(
    inputs: Mapping[str, Artifact],
    course: Sequence[tuple[int, Data, ObjectiveConfig]],
    teacher_tokens: Sequence[str],
    vocabulary: Vocabulary,
) -> TrainingData:
    """A stream for every kind of data that some phase uses, named like it, and the valid split.

    Soft targets are read where a phase weighs them. Raises DataError when there are no shards of a kind.
    """
    kinds = list(dict.fromkeys(kind for _, data, _ in course for kind in kinds_of(data)))
    with_soft_targets = any(
        "hypothesis" in kinds_of(data) and objective.reads_soft_targets() for _, data, objective in course
    )
    streams = []
    for kind in kinds:
        if kind == "reference":
            streams.append(Stream(kind, _shards(inputs["corpus"], "train-", _TEXT), "reference"))
            continue
        columns = (*_FORCED, *COLUMNS) if with_soft_targets else _FORCED
        reader = SoftTargetColumns(teacher_tokens, vocabulary) if with_soft_targets else None
        streams.append(Stream(kind, _shards(inputs["dataset"], "", columns), "target_tokens", reader))
    valid = _readers(inputs["corpus"], "valid-", _TEXT)
    return TrainingData(streams, [Stream("valid", valid, "reference")] if valid else [])


def _shards(artifact: Artifact, prefix: str, columns: Sequence[str]) -> "list[partial[Any]]":
    readers = _readers(artifact, prefix, columns)
    if not readers:
        raise DataError(f"{artifact.url} has no shards named {prefix}*: there is nothing to train on")
    return readers


def _readers(artifact: Artifact, prefix: str, columns: Sequence[str]) -> "list[partial[Any]]":
    return [partial(artifact.read_shard, name, columns) for name in artifact.shard_names(prefix)]
