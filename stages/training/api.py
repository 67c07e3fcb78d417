"""The way in: train a transformer on shards, resuming where a killed run stood."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.local import write_atomically
from data.runtime import Runtime
from stages.training import checkpoint
from stages.training.allocator import freed_memory_kept
from stages.training.batches import BatchSource, Counts, Encoder, Position, Stream
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.journal import Journal
from stages.training.loop import OnlineTerms, TorchBatch, Training, to_torch
from stages.training.mixture import Mixture, Place, validation
from stages.training.model import Transformer, build_transformer
from stages.training.phases import Course, Phase, one_phase
from stages.training.prefetch import Prefetcher
from stages.training.stopping import PairSwitch
from stages.training.sums import Sums
from stages.training.vocabulary import Vocabulary

CHECKPOINT = "checkpoint.pt"
CURVES = "training.jsonl"
# Scratch: names that begin with a dot are left out of the artefact and go when it is complete.
_METRICS = ".metrics.json"
_STATE = ".state.pt"
_AHEAD = 8


@dataclass(frozen=True)
class TrainingData:
    """What is trained and validated on; the names of the streams are those that phases give shares to."""

    streams: Sequence[Stream]
    valid: Sequence[Stream] = ()


@dataclass(frozen=True)
class Extras:
    """What a student may have beyond its own weights; each is made once, for the fresh model."""

    # Sets the first weights.
    initialise: Callable[[Transformer], None] | None = None
    # Terms of the loss that need a teacher in memory, on this device.
    online: Callable[[Transformer, str], OnlineTerms] | None = None
    # Judges at each validation which of the streams' pairs are distilled.
    switch: PairSwitch | None = None


def train_transformer(
    *,
    data: TrainingData,
    tokenizer: Encoder,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    model: ModelConfig,
    decoder_only: bool = False,
    optimiser: OptimiserConfig,
    phases: Sequence[Phase] = (),
    extras: Extras | None = None,
    work_dir: Path,
    runtime: Runtime,
) -> dict[str, Any]:
    """Trains, and leaves `checkpoint.pt` (OpenNMT-py's format, averaged weights if any) and `training.jsonl`.

    Killed and called again with the same arguments it goes on at its last checkpoint, over the same batches and
    random numbers as an unbroken run. Without phases it is cross-entropy on all streams alike. `decoder_only`: a
    language model, which learns to go on with the target where the source ends.
    Returns metrics. Raises DataError when there is nothing to train on, ModelError for a damaged checkpoint.
    """
    finished = work_dir / _METRICS
    if finished.exists():
        metrics: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return metrics
    threads = torch.get_num_threads()
    torch.set_num_threads(runtime.threads)
    names, extras = [stream.name for stream in data.streams], extras or Extras()
    smoothing = optimiser.label_smoothing
    course = Course(phases, smoothing) if phases else one_phase(names, smoothing)
    try:
        with torch.random.fork_rng(), freed_memory_kept():
            torch.manual_seed(optimiser.seed)
            network = build_transformer(
                model, source_vocabulary, target_vocabulary, runtime.device, decoder_only=decoder_only
            )
            if extras.initialise is not None:
                extras.initialise(network)
            online = None if extras.online is None else extras.online(network, runtime.device)
            sources = _sources(data.streams, tokenizer, network, optimiser)
            mixture = Mixture(sources, course.shares, optimiser.seed, optimiser.accumulate)
            valid = validation(_sources(data.valid, tokenizer, network, optimiser))
            training = _Run(network, mixture, optimiser, work_dir, runtime, extras.switch)
            return training.complete(course, online, valid)
    finally:
        torch.set_num_threads(threads)


def _sources(
    streams: Sequence[Stream], tokenizer: Encoder, network: Transformer, optimiser: OptimiserConfig
) -> dict[str, BatchSource]:
    return {
        stream.name: BatchSource(
            stream=stream,
            encoder=tokenizer,
            source_vocabulary=network.source_vocabulary,
            target_vocabulary=network.target_vocabulary,
            batch_tokens=optimiser.batch_tokens,
            max_tokens=optimiser.max_tokens,
            shuffle_rows=max(optimiser.shuffle_rows // len(streams), 1),
            seed=optimiser.seed,
        )
        for stream in streams
    }


class _ValidBatches:
    """The validation sets one after the other, read anew at each validation."""

    def __init__(self, sources: Mapping[str, BatchSource], device: str, separator: int | None) -> None:
        self._sources, self._device, self._separator = sources, device, separator

    def __iter__(self) -> Iterator[tuple[TorchBatch, int]]:
        for source in self._sources.values():
            for batch in source.batches(Position(), epochs=1):
                yield to_torch(batch, None, self._device, self._separator), 0


class _Run:
    """One training in its folder."""

    def __init__(
        self,
        network: Transformer,
        mixture: Mixture,
        optimiser: OptimiserConfig,
        folder: Path,
        runtime: Runtime,
        switch: PairSwitch | None,
    ) -> None:
        self._switch = switch
        self._network, self._mixture, self._optimiser = network, mixture, optimiser
        self._folder, self._runtime = folder, runtime
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(
            folder / CURVES, optimiser.steps, optimiser.report_every, runtime.progress, runtime.validated
        )
        self._earlier_counts: dict[str, Counts] = {}
        self._saved = -1

    def complete(self, course: Course, online: OnlineTerms | None, valid: Mapping[str, BatchSource]) -> dict[str, Any]:
        device, separator = self._runtime.device, self._network.separator
        training = Training(self._network, self._optimiser, course, device, self, online, self._switch)
        place = self._resume(training)
        valid_batches = _ValidBatches(valid, device, separator) if valid else None
        if training.step < self._optimiser.steps:
            items = (to_torch(batch, after, device, separator) for batch, after in self._mixture.batches(place))
            with Prefetcher(items, _AHEAD) as batches:
                training.train(batches, valid_batches)
        if valid_batches is not None and self._journal.validated_at != training.step:
            training.validate(valid_batches)
        checkpoint.save_model(self._folder / CHECKPOINT, self._network, training.average)
        metrics = self._metrics(training)
        write_atomically(self._folder / _METRICS, json.dumps(metrics, indent=1).encode())
        (self._folder / _STATE).unlink(missing_ok=True)
        return metrics

    def _resume(self, training: Training) -> Place:
        path = self._folder / _STATE
        if not path.exists():
            self._journal.begin()
            return Place()
        state = checkpoint.load(path)
        training.load_state(state["training"])
        self._earlier_counts = {name: Counts(*counts) for name, counts in state["counts"].items()}
        self._journal.begin(training.step, state["journal"])
        return Place.of_state(state["place"])

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        self._journal.trained(step, learning_rate, sums)

    def validated(self, step: int, sums: Sums) -> None:
        self._journal.validated(step, sums, self._switch.told() if self._switch else {})

    def checkpoint(self, training: Training) -> None:
        if training.step == self._saved:  # the Trainer saves its last step twice when a checkpoint was due there
            return
        self._saved = training.step
        state = {
            "training": training.state(),
            "place": training.following.state(),
            "counts": {name: [counts.rows, counts.skipped] for name, counts in self._counts().items()},
            "journal": self._journal.state(),
        }
        checkpoint.save(self._folder / _STATE, state)

    def _counts(self) -> dict[str, Counts]:
        """Of each stream, rows of the fullest epoch: a run that ends or begins within one has read a part of it."""
        found = {name: source.fullest_epoch() for name, source in self._mixture.sources.items()}
        return {
            name: max(counts, self._earlier_counts.get(name, Counts()), key=_size) for name, counts in found.items()
        }

    def _metrics(self, training: Training) -> dict[str, Any]:
        counts = self._counts()
        return {
            "steps": training.step,
            "tokens": self._journal.tokens,
            "seconds": round(self._journal.seconds, 1),
            "cpu_seconds": round(self._journal.cpu_seconds, 1),
            "parameters": self._network.parameters(),
            "source_vocabulary": len(self._network.source_vocabulary),
            "target_vocabulary": len(self._network.target_vocabulary),
            "precision": training.precision,
            "threads": self._runtime.threads,
            "rows": sum(each.rows for each in counts.values()),
            "skipped_rows": sum(each.skipped for each in counts.values()),
            "streams": {name: {"rows": each.rows, "skipped_rows": each.skipped} for name, each in counts.items()},
            **self._journal.last,
            **self._journal.last_valid,
        }


def _size(counts: Counts) -> int:
    return counts.rows + counts.skipped
