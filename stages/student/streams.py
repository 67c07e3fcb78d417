"""From artefacts to the streams that a student is trained on."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from data.artifact import Artifact
from data.errors import DataError
from data.model_folder import end_of
from stages.noise.reading import with_noise_columns
from stages.student.further_rows import FurtherDataset
from stages.student.further_streams import further_streams
from stages.student.nbest import COLUMNS as NBEST_COLUMNS
from stages.student.nbest import TARGET, NBestConfig, Part, drawn
from stages.student.noise import NoisyReading, as_learned
from stages.training.api import TrainingData
from stages.training.batches.batches import Stream
from stages.training.batches.soft_columns import COLUMNS, SoftTargetColumns
from stages.training.data_config import Data, kinds_of
from stages.training.objective.config import ObjectiveConfig
from stages.training.vocabulary import Vocabulary

_TEXT = ("source", "reference")


def training_data(
    inputs: Mapping[str, Artifact],
    course: Sequence[tuple[int, Data, ObjectiveConfig]],
    teacher_tokens: Sequence[str],
    vocabulary: Vocabulary,
    nbest: NBestConfig,
    datasets: Sequence[FurtherDataset] = (),
    *,
    own_tokens: bool = False,
    more: Sequence[str] = (),
    noise: NoisyReading | None = None,
) -> TrainingData:
    """A stream for every kind of data that some phase uses, named like it, and the valid split.

    `own_tokens`: the student has a tokenizer of its own, so hypotheses are read as text. Soft targets are read where
    a phase weighs them. `datasets` join the recipe's own, each with a stream of its name. Raises DataError when there
    are no shards of a kind, ModelError when a further dataset's soft targets are of another vocabulary. `more`: the
    columns of languages, read beside their own by streams that are to be taken apart by them; else a stream of which no
    row is of a pair that a teacher was for has no soft targets. `noise`: how rows are read whose noise is for the
    student alone; needed where there are any.
    """
    kinds = list(dict.fromkeys(kind for _, data, _ in course for kind in kinds_of(data)))
    part: Part = "text" if own_tokens else "tokens"
    streams = []
    for kind in kinds:
        if kind == "reference":
            corpus = inputs["corpus"]
            shards = _shards(corpus, "train-", with_noise_columns((*_TEXT, *more), corpus))
            streams.append(as_learned(Stream(kind, shards, "reference"), corpus, noise))
        elif kind == "nbest":
            dataset = inputs["dataset"]
            shards = _shards(dataset, "", with_noise_columns((*NBEST_COLUMNS, *more), dataset))
            stream = Stream(kind, shards, TARGET, draw=partial(drawn, config=nbest, part=part))
            streams.append(as_learned(stream, dataset, noise))
        else:
            weighed = [] if own_tokens else _on_hypotheses(course)
            reader = _soft_targets(weighed, teacher_tokens, vocabulary, inputs["teacher"])
            dataset = inputs["dataset"]
            own = reader.of_dataset(dataset) if reader and not more else reader
            target = "target" if own_tokens else "target_tokens"
            columns = with_noise_columns(("source", target, *(COLUMNS if own else ()), *more), dataset)
            stream = Stream(kind, _shards(dataset, "", columns), target, own)
            streams.append(as_learned(stream, dataset, noise))
            streams += further_streams(datasets, teacher_tokens, reader, noise, as_text=own_tokens, more=more)
    valid = _readers(inputs["corpus"], "valid-", (*_TEXT, *more))
    return TrainingData(streams, [Stream("valid", valid, "reference")] if valid else [])


def untaught(data: TrainingData, course: Sequence[tuple[int, Data, ObjectiveConfig]]) -> list[str]:
    """Streams of the recipe's and of further datasets that lack the soft targets that some phase weighs."""
    if not any(objective.reads_soft_targets() for objective in _on_hypotheses(course)):
        return []
    return [one.name for one in data.streams if one.soft_targets is None and one.name not in ("reference", "nbest")]


def _on_hypotheses(course: Sequence[tuple[int, Data, ObjectiveConfig]]) -> list[ObjectiveConfig]:
    """The objectives of phases that read the dataset's targets."""
    return [objective for _, data, objective in course if "hypothesis" in kinds_of(data)]


def _soft_targets(
    objectives: Sequence[ObjectiveConfig], teacher_tokens: Sequence[str], vocabulary: Vocabulary, teacher: Artifact
) -> SoftTargetColumns | None:
    """What reads all that some phase's objective needs of the soft targets; None where none is weighed."""
    if not any(objective.reads_soft_targets() for objective in objectives):
        return None
    temperatures = {each for objective in objectives for each in objective.soft_targets.exact_temperatures()}
    return SoftTargetColumns(teacher_tokens, vocabulary, sorted(temperatures), end=end_of(teacher.path()))


def _shards(artifact: Artifact, prefix: str, columns: Sequence[str]) -> "list[partial[Any]]":
    readers = _readers(artifact, prefix, columns)
    if not readers:
        raise DataError(f"{artifact.url} has no shards named {prefix}*: there is nothing to train on")
    return readers


def _readers(artifact: Artifact, prefix: str, columns: Sequence[str]) -> "list[partial[Any]]":
    return [partial(artifact.read_shard, name, columns) for name in artifact.shard_names(prefix)]
