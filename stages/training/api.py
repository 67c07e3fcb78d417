"""The way in: train a transformer on shards, resuming where a killed run stood."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data.errors import DataError
from data.local import write_atomically
from data.runtime import Runtime
from stages.training import checkpoint
from stages.training.allocator import freed_memory_kept
from stages.training.batches import BatchSource, Counts, Encoder, Position, Shard, SoftTargetReader
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.journal import Journal
from stages.training.loop import TorchBatch, Training, to_torch
from stages.training.model import Transformer, build_transformer
from stages.training.objective import Objective
from stages.training.prefetch import Prefetcher
from stages.training.vocabulary import Vocabulary

CHECKPOINT = "checkpoint.pt"
CURVES = "training.jsonl"
# Scratch: names that begin with a dot are left out of the artefact and go when it is complete.
_METRICS = ".metrics.json"
_STATE = ".state.pt"
_AHEAD = 8


@dataclass(frozen=True)
class TrainingData:
    """What is trained on. A shard is a function that reads a table with `source` and the target column.

    The target column holds text or lists of tokens; rows where it is null are passed over.
    """

    shards: Sequence[Shard]
    target_column: str
    valid_shards: Sequence[Shard] = ()
    valid_target_column: str = "reference"
    soft_targets: SoftTargetReader | None = None


def train_transformer(
    *,
    data: TrainingData,
    tokenizer: Encoder,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    model: ModelConfig,
    optimiser: OptimiserConfig,
    objective: Objective | None = None,
    work_dir: Path,
    runtime: Runtime,
) -> dict[str, Any]:
    """Trains, and leaves `checkpoint.pt` (OpenNMT-py's format, averaged weights if any) and `training.jsonl`.

    Killed and called again with the same arguments it goes on at its last checkpoint, over the same batches and
    random numbers as an unbroken run. `objective` defaults to cross-entropy with the optimiser's label smoothing.
    Returns metrics. Raises DataError when there is nothing to train on, ModelError for a damaged checkpoint.
    """
    finished = work_dir / _METRICS
    if finished.exists():
        metrics: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return metrics
    threads = torch.get_num_threads()
    torch.set_num_threads(runtime.threads)
    try:
        with torch.random.fork_rng(), freed_memory_kept():
            torch.manual_seed(optimiser.seed)
            network = build_transformer(model, source_vocabulary, target_vocabulary, runtime.device)
            goal = objective or Objective(label_smoothing=optimiser.label_smoothing)
            source = _batch_source(data, tokenizer, network, optimiser)
            run = _Run(network, source, optimiser, goal, work_dir, runtime)
            return run.complete(_valid_source(source, data))
    finally:
        torch.set_num_threads(threads)


def _batch_source(
    data: TrainingData, tokenizer: Encoder, network: Transformer, optimiser: OptimiserConfig
) -> BatchSource:
    return BatchSource(
        shards=data.shards,
        target_column=data.target_column,
        encoder=tokenizer,
        source_vocabulary=network.source_vocabulary,
        target_vocabulary=network.target_vocabulary,
        batch_tokens=optimiser.batch_tokens,
        max_tokens=optimiser.max_tokens,
        shuffle_rows=optimiser.shuffle_rows,
        seed=optimiser.seed,
        soft_targets=data.soft_targets,
    )


def _valid_source(source: BatchSource, data: TrainingData) -> BatchSource:
    column, shards = data.valid_target_column, data.valid_shards
    return replace(source, shards=shards, target_column=column, shuffled=False, soft_targets=None, counts={})


class _ValidBatches:
    """The validation set, read anew at each validation."""

    def __init__(self, source: BatchSource, device: str) -> None:
        self._source, self._device = source, device

    def __iter__(self) -> Iterator[tuple[TorchBatch, int]]:
        for batch in self._source.batches(Position(), epochs=1):
            yield to_torch(batch, self._device), 0


class _Run:
    """One training in its folder."""

    def __init__(
        self,
        network: Transformer,
        source: BatchSource,
        optimiser: OptimiserConfig,
        objective: Objective,
        folder: Path,
        runtime: Runtime,
    ) -> None:
        self._network, self._source, self._optimiser = network, source, optimiser
        self._folder, self._runtime = folder, runtime
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(folder / CURVES, optimiser.steps, optimiser.report_every, runtime.progress)
        self._training = Training(network, optimiser, objective, runtime.device, self)
        self._earlier_counts = Counts()
        self._saved = -1

    def complete(self, valid: BatchSource) -> dict[str, Any]:
        position = self._resume()
        valid_batches = _ValidBatches(valid, self._runtime.device) if valid.shards else None
        if self._training.step < self._optimiser.steps:
            items = (to_torch(batch, self._runtime.device) for batch in self._source.batches(position))
            with Prefetcher(items, _AHEAD) as batches:
                self._training.train(self._checked(batches), valid_batches)
        if valid_batches is not None and self._journal.validated_at != self._training.step:
            self._training.validate(valid_batches)
        checkpoint.save_model(self._folder / CHECKPOINT, self._network, self._training.average)
        metrics = self._metrics()
        write_atomically(self._folder / _METRICS, json.dumps(metrics, indent=1).encode())
        (self._folder / _STATE).unlink(missing_ok=True)
        return metrics

    def _checked(self, batches: Iterator[TorchBatch]) -> Iterator[TorchBatch]:
        first = next(batches, None)
        if first is None:
            counts = self._counts()
            raise DataError(
                f"nothing to train on: {len(self._source.shards)} shards hold no row with a usable "
                f"{self._source.target_column} ({counts.skipped} rows are empty or longer than "
                f"{self._source.max_tokens} tokens); see what the stages before kept, or raise max_tokens"
            )
        yield first
        yield from batches

    def _resume(self) -> Position:
        path = self._folder / _STATE
        if not path.exists():
            self._journal.begin(0, 0, 0.0)
            return Position()
        state = checkpoint.load(path)
        self._training.load_state(state["training"])
        self._earlier_counts = Counts(*state["counts"])
        self._journal.begin(self._training.step, state["tokens"], state["seconds"])
        return Position(*state["position"])

    def trained(self, step: int, learning_rate: float, tokens: int, sums: torch.Tensor) -> None:
        self._journal.trained(step, learning_rate, tokens, sums)

    def validated(self, step: int, tokens: int, sums: torch.Tensor) -> None:
        self._journal.validated(step, tokens, sums)

    def checkpoint(self, training: Training) -> None:
        if training.step == self._saved:  # the Trainer saves its last step twice when a checkpoint was due there
            return
        self._saved = training.step
        counts, place = self._counts(), training.following
        state = {
            "training": training.state(),
            "position": [place.epoch, place.pool, place.batch],
            "counts": [counts.rows, counts.skipped],
            "tokens": self._journal.tokens,
            "seconds": self._journal.seconds,
        }
        checkpoint.save(self._folder / _STATE, state)

    def _counts(self) -> Counts:
        """Rows of the fullest epoch: a run that ends or begins within one has read a part of it."""
        every = [self._earlier_counts, *self._source.counts.values()]
        return max(every, key=lambda counts: counts.rows + counts.skipped)

    def _metrics(self) -> dict[str, Any]:
        counts = self._counts()
        return {
            "steps": self._training.step,
            "tokens": self._journal.tokens,
            "seconds": round(self._journal.seconds, 1),
            "parameters": self._network.parameters(),
            "source_vocabulary": len(self._network.source_vocabulary),
            "target_vocabulary": len(self._network.target_vocabulary),
            "precision": self._training.precision,
            "threads": self._runtime.threads,
            "rows": counts.rows,
            "skipped_rows": counts.skipped,
            **self._journal.last,
            **self._journal.last_valid,
        }
