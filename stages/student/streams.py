"""From artefacts to the streams that a student is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from data.artifact import Artifact
from data.errors import DataError
from data.model_folder import end_of
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.noise.reading import with_noise_columns
from stages.student.further_rows import FurtherDataset
from stages.student.further_streams import further_streams
from stages.student.nbest import COLUMNS as NBEST_COLUMNS
from stages.student.nbest import TARGET, NBestConfig, Part, drawn
from stages.student.noise import NoisyReading, as_learned
from stages.training.api import TrainingData
from stages.training.batches.batches import Stream
from stages.training.batches.soft_columns import COLUMNS, SoftTargetColumns
from stages.training.batches.stream import Sampling
from stages.training.data_config import Data, kinds_of
from stages.training.objective.config import ObjectiveConfig
from stages.training.row_counts import TRAIN, by_direction, by_origin, corpus_rows, dataset_rows, weighed
from stages.training.vocabulary import Vocabulary
from stages.training.weights_config import ORIGIN

_TEXT = ("source", "reference")


@dataclass(frozen=True)
class Drawing:
    """How the rows of all streams are drawn: by `weights` of their sources, and with `sampling` of their subwords.

    `noise` says how rows are read whose noise is for the student alone; needed where there are any.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    sampling: Sampling | None = None
    noise: NoisyReading | None = None

    def columns(self) -> tuple[str, ...]:
        """What it has to know of a row."""
        return (*(("id",) if self.weights or self.sampling else ()), *((ORIGIN,) if self.weights else ()))


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
    drawing: Drawing | None = None,
) -> TrainingData:
    """A stream for every kind of data that some phase uses, named like it, and the valid split.

    `own_tokens`: the student has a tokenizer of its own, so hypotheses are read as text. Soft targets are read where
    a phase weighs them. `datasets` join the recipe's own, each with a stream of its name; `drawing` is for the recipe's
    own rows. Raises DataError when there are no shards of a kind, ModelError when a further dataset's soft targets are
    of another vocabulary. `more`: the columns of languages, and what else is read, by streams whose rows are to be told
    apart by them; else a stream of which no row is of a pair that a teacher was for has no soft targets.
    """
    kinds = list(dict.fromkeys(kind for _, data, _ in course for kind in kinds_of(data)))
    part: Part = "text" if own_tokens else "tokens"
    drawing = drawing or Drawing()
    columns = (*more, *drawing.columns())
    streams, further = [], list[Stream]()
    for kind in kinds:
        if kind == "reference":
            streams.append(Stream(kind, _shards(inputs["corpus"], TRAIN, (*_TEXT, *columns)), "reference"))
        elif kind == "nbest":
            shards = _shards(inputs["dataset"], "", (*NBEST_COLUMNS, *columns))
            streams.append(Stream(kind, shards, TARGET, draw=partial(drawn, config=nbest, part=part)))
        else:
            compared = [] if own_tokens else _on_hypotheses(course)
            reader = _soft_targets(compared, teacher_tokens, vocabulary, inputs["teacher"])
            own = reader.of_dataset(inputs["dataset"]) if reader and not more else reader
            target = "target" if own_tokens else "target_tokens"
            read = ("source", target, *(COLUMNS if own else ()), *columns)
            streams.append(Stream(kind, _shards(inputs["dataset"], "", read), target, own))
            further = further_streams(datasets, teacher_tokens, reader, drawing.noise, as_text=own_tokens, more=more)
    streams = [_as_drawn(stream, inputs, drawing, counted=bool(more)) for stream in streams]
    valid = _readers(inputs["corpus"], "valid-", (*_TEXT, *(LANGUAGES if more else ())))
    sampled = [replace(stream, sampling=drawing.sampling) for stream in further]
    there = by_direction(corpus_rows(inputs["corpus"], "valid"), references=True) if valid and more else None
    return TrainingData([*streams, *sampled], [Stream("valid", valid, "reference", rows=there)] if valid else [])


def _as_drawn(stream: Stream, inputs: Mapping[str, Artifact], drawing: Drawing, *, counted: bool) -> Stream:
    """The same as it is learned, with its rows' worth; `counted`: with how many there are of each pair."""
    references, corpus = stream.name == "reference", inputs["corpus"]
    stream = as_learned(stream, corpus if references else inputs["dataset"], drawing.noise)
    if not counted and not drawing.weights:
        return replace(stream, sampling=drawing.sampling)
    origins = bool(drawing.weights)
    found = (
        corpus_rows(corpus, origins=origins) if references else dataset_rows(inputs["dataset"], corpus, origins=origins)
    )
    return replace(
        stream,
        sampling=drawing.sampling,
        rows=by_direction(found, references=references),
        weighed=weighed(found, drawing.weights, references=references),
        worth=by_origin(found, drawing.weights),
    )


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
    readers = _readers(artifact, prefix, with_noise_columns(columns, artifact))
    if not readers:
        raise DataError(f"{artifact.url} has no shards named {prefix}*: there is nothing to train on")
    return readers


def _readers(artifact: Artifact, prefix: str, columns: Sequence[str]) -> "list[partial[Any]]":
    named = tuple(dict.fromkeys(columns))
    return [partial(artifact.read_shard, name, named) for name in artifact.shard_names(prefix)]
