"""A language of 12 words whose translation turns the sentence round, and a model small enough for tests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.runtime import Progress, Runtime, silent
from stages.training.config import ModelConfig, OptimiserConfig

if TYPE_CHECKING:
    from stages.training.api import TrainingData
    from stages.training.batches.batches import Stream

WORDS = tuple(f"a{number}" for number in range(12))
MODEL = ModelConfig(encoder_layers=1, decoder_layers=1, width=16, heads=2, feed_forward=32)
OPTIMISER = OptimiserConfig(
    steps=12,
    batch_tokens=60,
    warmup_steps=10,
    shuffle_rows=50,
    report_every=4,
    validate_every=6,
    checkpoint_every=4,
    average_decay=0.01,
    precision="float32",
)


class Spaces:
    """A tokenizer that splits at spaces."""

    def encode_source(self, texts: Sequence[str]) -> list[list[str]]:
        return [text.split() for text in texts]

    encode_target = encode_source


def pairs(rows: int, seed: int = 0, longest: int = 7) -> pa.Table:
    random = np.random.default_rng(seed)
    sources = [" ".join(random.choice(WORDS, random.integers(1, longest + 1))) for _ in range(rows)]
    references = [" ".join(reversed(source.split())) for source in sources]
    return pa.table({"source": sources, "reference": references})


def shards(*tables: pa.Table) -> list[Callable[[], pa.Table]]:
    return [lambda table=table: table for table in tables]


def training_data(**changes: Any) -> "TrainingData":
    """One stream and a valid one; `changes` are arguments of TrainingData."""
    from stages.training.api import TrainingData

    values = {"streams": [stream()], "valid": [stream("valid", pairs(20, 3))]}
    return TrainingData(**(values | changes))


def stream(name: str = "reference", *tables: pa.Table, **changes: Any) -> "Stream":
    from stages.training.batches.batches import Stream

    held = tables or (pairs(70, 1), pairs(40, 2))
    return Stream(**({"name": name, "shards": shards(*held), "target_column": "reference"} | changes))


def train(folder: Path, *, progress: Progress = silent, **changes: Any) -> dict[str, Any]:
    """A training in `folder`; `changes` are arguments of train_transformer."""
    from stages.training.api import train_transformer
    from stages.training.vocabulary import Vocabulary

    vocabulary = Vocabulary.from_tokens(WORDS)
    arguments = {
        "data": training_data(),
        "tokenizer": Spaces(),
        "source_vocabulary": vocabulary,
        "target_vocabulary": vocabulary,
        "model": MODEL,
        "optimiser": OPTIMISER,
    }
    given = {"runtime": Runtime(1, "cpu", progress)} | arguments | changes
    return train_transformer(**given, work_dir=folder)
