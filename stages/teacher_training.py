"""A teacher trained here by OpenNMT-py, and the way from its checkpoint to CTranslate2."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.artifact import Artifact
from data.errors import DataError
from data.model_folder import CHECKPOINT_FILE
from data.runtime import Runtime
from stages.conversion import convert_checkpoint
from stages.teacher_sources import copy_tokenizer, take_model
from stages.tokenizer import Tokenizer, load_tokenizer
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.vocabulary import BEGIN, SEPARATOR, Vocabulary

if TYPE_CHECKING:
    from stages.training.api import TrainingData

CURVES = "training.jsonl"
# Hidden: kept while the stage is unfinished, so that a killed training goes on, and gone when it is complete.
_WORK, _MODEL = ".training", ".model"
_COLUMNS = ("source", "reference")


def train_teacher(
    inputs: Mapping[str, Artifact],
    model: ModelConfig,
    optimiser: OptimiserConfig,
    words: int,
    folder: Path,
    quantization: str,
    runtime: Runtime,
    *,
    decoder_only: bool,
) -> dict[str, Any]:
    """Trains on the train split's rows that have a reference; leaves the model, checkpoint, curves and tokenizer.

    A language model (`decoder_only`) reads `<s> source <sep> target` and learns the target and its end alone. A killed
    training goes on at its last checkpoint. Returns metrics. Raises DataError when there is nothing to train on.
    """
    from stages.training.api import train_transformer

    tokenizer_folder = inputs["tokenizer"].path()
    tokenizer = load_tokenizer(tokenizer_folder)
    source, target = _vocabularies(tokenizer, inputs["corpus"], words, decoder_only=decoder_only)
    metrics = train_transformer(
        data=_training_data(inputs["corpus"], (BEGIN,) if decoder_only else ()),
        tokenizer=tokenizer,
        source_vocabulary=source,
        target_vocabulary=target,
        model=model,
        decoder_only=decoder_only,
        optimiser=optimiser,
        work_dir=folder / _WORK,
        runtime=runtime,
    )
    convert_opennmt(folder / _WORK / CHECKPOINT_FILE, folder, quantization)
    (folder / CURVES).write_bytes((folder / _WORK / CURVES).read_bytes())
    copy_tokenizer(tokenizer_folder, folder)
    return metrics


def convert_opennmt(checkpoint: Path, folder: Path, quantization: str) -> None:
    """A CTranslate2 model of an OpenNMT-py checkpoint, with the weights, its optimiser's state left out, beside it."""
    import torch

    from stages.conversion import read_checkpoint

    convert_checkpoint(checkpoint, folder / _MODEL, quantization=quantization)
    take_model(folder / _MODEL, folder)
    content = read_checkpoint(checkpoint)
    kept = {key: content[key] for key in ("model", "generator", "vocab", "opt")}
    torch.save(kept, folder / CHECKPOINT_FILE)


def _training_data(corpus: Artifact, source_prefix: tuple[str, ...]) -> "TrainingData":
    from stages.training.api import TrainingData
    from stages.training.batches import Stream

    train, valid = corpus.shard_names("train-"), corpus.shard_names("valid-")
    if not train:
        raise DataError(f"{corpus.url} has no shards named train-*: there is nothing to train on")
    shards = {
        "reference": [partial(corpus.read_shard, name, _COLUMNS) for name in train],
        "valid": [partial(corpus.read_shard, name, _COLUMNS) for name in valid],
    }
    streams = {
        name: [Stream(name, each, "reference", None, source_prefix)] if each else [] for name, each in shards.items()
    }
    return TrainingData(streams["reference"], streams["valid"])


def _vocabularies(
    tokenizer: Tokenizer, corpus: Artifact, words: int, *, decoder_only: bool
) -> tuple[Vocabulary, Vocabulary]:
    """Source and target tokens; a language model has those of both, and its separator, on both sides."""
    source, target = tokenizer.source_pieces(), tokenizer.target_pieces()
    if not source:
        source = _frequent(_texts(corpus, "source"), words)
        target = _frequent(_texts(corpus, "reference"), words)
    if decoder_only:
        source = target = [*source, *target, SEPARATOR]
    return Vocabulary.from_tokens(source), Vocabulary.from_tokens(target)


def _texts(corpus: Artifact, column: str) -> Iterator[pa.ChunkedArray]:
    return (table.column(column) for table in corpus.tables("train-", [column]))


def _frequent(columns: Iterator[pa.ChunkedArray], words: int) -> list[str]:
    """The most frequent words, ties in alphabetical order."""
    counts: Counter[str] = Counter()
    for column in columns:
        for text in column.to_pylist():
            counts.update((text or "").split())
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:words]]
