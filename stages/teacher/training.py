"""A teacher trained here by OpenNMT-py, and the way from its checkpoint to CTranslate2."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError
from data.language_tags import Direction
from data.model_folder import CHECKPOINT_FILE
from data.runtime import Runtime
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.loaded_model.conversion import convert_checkpoint
from stages.teacher.sources import copy_tokenizer, take_model
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.curves import CURVES, TIMINGS
from stages.training.languages_config import LanguagesConfig
from stages.training.multilingual import Languages, bleu_tokenizer_of
from stages.training.row_counts import TRAIN, RowsOf, by_direction, by_origin, corpus_rows, weighed
from stages.training.validation_config import ValidationConfig
from stages.training.vocabulary import BEGIN, SEPARATOR, Vocabulary
from stages.training.weights_config import ORIGIN

if TYPE_CHECKING:
    from stages.training.api import Extras, TrainingData

# Hidden: kept while the stage is unfinished, so that a killed training goes on, and gone when it is complete.
_WORK, _MODEL = ".training", ".model"
_COLUMNS = ("source", "reference")
# Of the stream that it is trained on.
_NAME = "reference"


def train_teacher(
    inputs: Mapping[str, Artifact],
    model: ModelConfig,
    optimiser: OptimiserConfig,
    validation: ValidationConfig,
    words: int,
    folder: Path,
    quantization: str,
    runtime: Runtime,
    *,
    decoder_only: bool,
    pairs: Sequence[str],
    languages: LanguagesConfig | None = None,
    weights: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Trains on the train split's rows that have a reference, of these language pairs if any; leaves the model,
    checkpoint, curves and tokenizer. `languages`: how several pairs are learned; by default all are of one, without
    tags. `weights`: how often rows of a source are drawn, where that is not once an epoch.

    A language model (`decoder_only`) reads `<s> source <sep> target` and learns the target and its end alone. A killed
    training goes on at its last checkpoint. Returns metrics. Raises DataError when there is nothing to train on.
    """
    from stages.training.api import train_transformer

    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    corpus, prefix, told = inputs["corpus"], (BEGIN,) if decoder_only else (), {}
    source, target = _vocabularies(tokenizer, corpus, words, decoder_only=decoder_only)
    data = _training_data(corpus, prefix, pairs, weights or {}, languages)
    if languages:
        learned = Languages.of(languages, corpus, pairs)
        source, target = learned.vocabulary(source), learned.vocabulary(target)
        data, paired = learned.take_apart(data)
        told = {"languages": learned.described(paired)}
    metrics = train_transformer(
        data=data,
        tokenizer=tokenizer,
        source_vocabulary=Vocabulary.from_tokens(source),
        target_vocabulary=Vocabulary.from_tokens(target),
        model=model,
        decoder_only=decoder_only,
        optimiser=optimiser,
        validation=validation,
        extras=_extras(validation, tokenizer, corpus),
        work_dir=folder / _WORK,
        runtime=runtime,
    )
    convert_opennmt(folder / _WORK / CHECKPOINT_FILE, folder, quantization)
    _copy_beside(folder, inputs["tokenizer"].path())
    return metrics | told


def _copy_beside(folder: Path, tokenizer: Path) -> None:
    """What belongs to the model: its curves, and what makes its subwords."""
    for name in (CURVES, TIMINGS):
        (folder / name).write_bytes((folder / _WORK / name).read_bytes())
    copy_tokenizer(tokenizer, folder)


def convert_opennmt(checkpoint: Path, folder: Path, quantization: str) -> None:
    """A CTranslate2 model of an OpenNMT-py checkpoint, with the weights, its optimiser's state left out, beside it."""
    import torch

    from stages.loaded_model.conversion import read_checkpoint

    convert_checkpoint(checkpoint, folder / _MODEL, quantization=quantization)
    take_model(folder / _MODEL, folder)
    content = read_checkpoint(checkpoint)
    kept = {key: content[key] for key in ("model", "generator", "vocab", "opt")}
    torch.save(kept, folder / CHECKPOINT_FILE)


def _extras(validation: ValidationConfig, tokenizer: Tokenizer, corpus: Artifact) -> "Extras":
    from stages.training.api import Extras

    return Extras(codec=tokenizer, bleu_tokenizer=bleu_tokenizer_of(corpus) if validation.metric == "bleu" else "")


def _training_data(
    corpus: Artifact,
    source_prefix: tuple[str, ...],
    pairs: Sequence[str],
    weights: Mapping[str, float],
    languages: LanguagesConfig | None,
) -> "TrainingData":
    """Streams that tell the languages of their rows, where several are learned."""
    from stages.training.api import TrainingData
    from stages.training.batches.batches import Stream

    train, valid = corpus.shard_names(TRAIN), corpus.shard_names("valid-")
    if not train:
        raise DataError(f"{corpus.url} has no shards named train-*: there is nothing to train on")
    paired = languages is not None
    columns = (*_COLUMNS, *(LANGUAGES if paired else ()))
    drawn = ("id",) if weights or (languages and languages.sampling_temperature != 1) else ()
    parts: list[tuple[str, Literal["train", "valid"], list[str], tuple[str, ...]]] = [
        (_NAME, "train", train, (*columns, *drawn, *((ORIGIN,) if weights else ()))),
        ("valid", "valid", valid, columns),
    ]
    streams = {
        name: Stream(
            name,
            [partial(_rows, corpus, shard, pairs, read) for shard in shards],
            "reference",
            source_prefix=source_prefix,
            rows=_counted(corpus_rows(corpus, split), pairs) if paired else None,
        )
        for name, split, shards, read in parts
    }
    if weights:
        found = [one for one in corpus_rows(corpus, origins=True) if not pairs or str(one.direction) in pairs]
        often = weighed(found, weights, references=True)
        streams[_NAME] = replace(streams[_NAME], worth=by_origin(found, weights), weighed=often)
    return TrainingData([streams[_NAME]], [streams["valid"]] if valid else [])


def _counted(found: Sequence[RowsOf], pairs: Sequence[str]) -> dict[Direction, int]:
    rows = by_direction(found, references=True)
    return {direction: count for direction, count in rows.items() if not pairs or str(direction) in pairs}


def _rows(corpus: Artifact, shard: str, pairs: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Those of these language pairs, or all where none is named."""
    if not pairs:
        return corpus.read_shard(shard, columns)
    table = corpus.read_shard(shard, list(dict.fromkeys((*columns, *LANGUAGES))))
    names = pc.binary_join_element_wise(*(table[name] for name in LANGUAGES), "-")
    return table.filter(pc.is_in(names, pa.array(list(pairs), pa.string()))).select(list(columns))


def _vocabularies(
    tokenizer: Tokenizer, corpus: Artifact, words: int, *, decoder_only: bool
) -> tuple[list[str], list[str]]:
    """Source and target tokens; a language model has those of both, and its separator, on both sides."""
    source, target = tokenizer.source_pieces(), tokenizer.target_pieces()
    if not source and tokenizer.kind != "none":
        raise DataError("a list of merges has no vocabulary to train a teacher with; set tokenizer.kind = 'train'")
    if not source:
        source = _frequent(_texts(corpus, "source"), words)
        target = _frequent(_texts(corpus, "reference"), words)
    if decoder_only:
        source = target = [*source, *target, SEPARATOR]
    return source, target


def _texts(corpus: Artifact, column: str) -> Iterator[pa.ChunkedArray]:
    return (table.column(column) for table in corpus.tables("train-", [column]))


def _frequent(columns: Iterator[pa.ChunkedArray], words: int) -> list[str]:
    """The most frequent words, ties in alphabetical order."""
    counts: Counter[str] = Counter()
    for column in columns:
        for text in column.to_pylist():
            counts.update((text or "").split())
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:words]]
