"""Rows with soft targets, read as the student's training reads them; and that training itself, to compare with."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.fixtures import Fixture, close, new_artifact
from bench.train import MODEL, OPTIMISER
from bench.trainers import Trainings
from data.model_folder import read_vocabulary
from data.parquet import decode
from stages.student import stage as student
from stages.text.tokenizer import load_tokenizer

BATCH_TOKENS = 1536


def read_epoch(fixture: Fixture, opened: Callable[[], Any], epochs: int) -> float:
    """Target tokens a second, </s> counted: one process reads a Parquet file and makes padded batches of it."""
    from stages.training.batches.batches import BatchSource, Position, Stream
    from stages.training.batches.soft_columns import COLUMNS, SoftTargetColumns
    from stages.training.vocabulary import Vocabulary

    target_tokens = read_vocabulary(fixture.teacher(), "target")
    target = Vocabulary.from_tokens(target_tokens)
    read = lambda: decode(opened(), ("source", "target_tokens", *COLUMNS), "bench")  # noqa: E731
    source = BatchSource(
        stream=Stream("dataset", [read], "target_tokens", SoftTargetColumns(target_tokens, target)),
        encoder=load_tokenizer(fixture.tokenizer()),
        source_vocabulary=Vocabulary.from_tokens(read_vocabulary(fixture.teacher(), "source")),
        target_vocabulary=target,
        batch_tokens=BATCH_TOKENS,
        max_tokens=256,
        shuffle_rows=1 << 16,
        seed=1,
    )
    started = time.perf_counter()
    tokens = sum(batch.target_tokens for batch in source.batches(Position(), epochs))
    return tokens / (time.perf_counter() - started)


def training_speed(fixture: Fixture, table: pa.Table, steps: int, folder: Path) -> float:
    """Target tokens a second of the demo's student on a thread, on rows with text and soft targets."""
    dataset = new_artifact(folder, "dataset")
    dataset.write_shard("train-00000", table)
    course = {"steps": steps, "report_every": max(steps // 4, 1), "validate_every": 0, "checkpoint_every": steps}
    config = student.Config.model_validate({"model": MODEL, "optimiser": OPTIMISER | course})
    trainings = Trainings({**fixture.artifacts, "dataset": close(dataset)}, 1, folder)
    return trainings.ours(config, "student").tokens_per_second
