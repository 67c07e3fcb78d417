"""From distilled datasets beside the recipe's own to streams that a student is trained on."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.model_folder import VOCABULARY_FILE, vocabulary_digest
from stages.noise.reading import with_noise_columns
from stages.student.further_rows import FurtherDataset
from stages.student.noise import NoisyReading, as_learned
from stages.training.batches.batches import Stream
from stages.training.batches.soft_columns import COLUMNS, SoftTargetColumns


def further_streams(
    datasets: Sequence[FurtherDataset],
    teacher_tokens: Sequence[str],
    reader: SoftTargetColumns | None,
    noise: NoisyReading | None = None,
    *,
    as_text: bool,
    more: Sequence[str] = (),
) -> list[Stream]:
    """A stream for each dataset; `reader` reads soft targets, where they are weighed.

    Targets are taken as the subwords that the dataset's teacher made where its vocabulary is this recipe's teacher's,
    else, or with `as_text`, as texts. `more`: the columns of languages, where streams are to be taken apart by them;
    else a stream of which no row is of a pair that a teacher was for has no soft targets. Raises ModelError when soft
    targets are weighed and are of another vocabulary.
    """
    streams = [_stream(one, teacher_tokens, reader, as_text, more) for one in datasets]
    return [as_learned(stream, one.artifact, noise) for stream, one in zip(streams, datasets, strict=True)]


def _stream(
    one: FurtherDataset,
    teacher_tokens: Sequence[str],
    reader: SoftTargetColumns | None,
    as_text: bool,
    more: Sequence[str],
) -> Stream:
    same = _vocabulary(one.artifact) == vocabulary_digest(teacher_tokens)
    if reader is not None and not same:
        raise ModelError(
            f"student.datasets: {one.name} ({one.path}) was made with another target vocabulary than this recipe's "
            "teacher has, so the ids of its soft targets mean other tokens; set student.objective.soft_targets.weight "
            "to 0, and its translations are read as texts"
        )
    if reader is not None and not more:
        reader = reader.of_dataset(one.artifact)
    target = "target_tokens" if same and not as_text else "target"
    columns = with_noise_columns(("source", target, *(COLUMNS if reader else ()), *more), one.artifact)
    shards = [partial(one.read_shard, name, columns) for name in one.artifact.shard_names()]
    return Stream(one.name, shards, target, reader, rows=one.rows())


def _vocabulary(artifact: Artifact) -> str:
    """Digest of the target vocabulary that the dataset carries."""
    path = Path(artifact.path()) / VOCABULARY_FILE
    try:
        tokens: list[str] = json.loads(path.read_bytes())["target"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as the vocabularies of a dataset: {error!r}") from error
    return vocabulary_digest(tokens)
