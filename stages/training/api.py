"""The way in: train a transformer on shards, resuming where a killed run stood."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.errors import ModelError
from data.local import write_atomically
from data.runtime import Runtime
from stages.training import checkpoint
from stages.training.allocator import freed_memory_kept
from stages.training.batches.batches import BatchSource, Counts, Encoder, Position, Stream
from stages.training.batches.mixture import Mixture, Place, validation
from stages.training.batches.prefetch import Prefetcher
from stages.training.config import ModelConfig, OptimiserConfig, Precision
from stages.training.journal import Journal
from stages.training.loop import OnlineTerms, TorchBatch, Training, to_torch
from stages.training.model import Transformer, build_transformer
from stages.training.objective.phases import Course, Phase, one_phase
from stages.training.optimiser import use_bfloat16
from stages.training.stopping import PairSwitch
from stages.training.sums import Sums
from stages.training.vocabulary import Vocabulary

_LOG = logging.getLogger(__name__)
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
    # Terms of the loss that need a teacher in memory, on this device, in bfloat16 or not.
    online: Callable[[Transformer, str, bool], OnlineTerms] | None = None
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
    random numbers as an unbroken run, in the precision that it began in. Without phases it is cross-entropy on all
    streams alike. `decoder_only`: a language model, which learns to go on with the target where the source ends.
    Returns metrics. Raises DataError when there is nothing to train on, ModelError for a state that is damaged or of
    another precision than is asked for.
    """
    finished = work_dir / _METRICS
    if finished.exists():
        metrics: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return metrics
    threads = torch.get_num_threads()
    torch.set_num_threads(runtime.threads)
    names, extras = [stream.name for stream in data.streams], extras or Extras()
    course = Course(phases, optimiser.label_smoothing) if phases else one_phase(names, optimiser.label_smoothing)
    try:
        with torch.random.fork_rng(), freed_memory_kept():
            torch.manual_seed(optimiser.seed)
            network = build_transformer(
                model, source_vocabulary, target_vocabulary, runtime.device, decoder_only=decoder_only
            )
            if extras.initialise is not None:
                extras.initialise(network)
            state = _left(work_dir)
            auto = state["auto"] if state else _fastest(runtime.device)
            online = extras.online(network, runtime.device, auto == "bfloat16") if extras.online else None
            sources = _sources(data.streams, tokenizer, network, optimiser)
            mixture = Mixture(sources, course.shares, optimiser.seed, optimiser.accumulate)
            valid = validation(_sources(data.valid, tokenizer, network, optimiser))
            run = _Run(network, mixture, optimiser, auto, work_dir, runtime, extras.switch)
            return run.complete(course, online, valid, state)
    finally:
        torch.set_num_threads(threads)


def _left(folder: Path) -> dict[str, Any]:
    """The state that a killed training goes on from; empty where there is none yet."""
    return checkpoint.load(folder / _STATE) if (folder / _STATE).exists() else {}


def _fastest(device: str) -> Precision:
    """What `auto` means on this machine."""
    return "bfloat16" if use_bfloat16("auto", device) else "float32"


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
            most_rows=optimiser.shuffle_rows,
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
        auto: Precision,
        folder: Path,
        runtime: Runtime,
        switch: PairSwitch | None,
    ) -> None:
        self._switch, self._auto = switch, auto
        self._network, self._mixture = network, mixture
        taken = auto if optimiser.precision == "auto" else optimiser.precision
        self._optimiser = optimiser.model_copy(update={"precision": taken})
        self._folder, self._runtime = folder, runtime
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(
            folder / CURVES, optimiser.steps, optimiser.report_every, runtime.progress, runtime.validated
        )
        self._resumed = Place()
        self._saved = -1

    def complete(
        self, course: Course, online: OnlineTerms | None, valid: Mapping[str, BatchSource], state: dict[str, Any]
    ) -> dict[str, Any]:
        device, separator = self._runtime.device, self._network.separator
        training = Training(self._network, self._optimiser, course, device, self, online, self._switch)
        place = self._resume(training, state)
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

    def _resume(self, training: Training, state: dict[str, Any]) -> Place:
        if not state:
            self._journal.begin()
            return Place()
        self._check_precision(training.precision, state["precision"])
        training.load_state(state.pop("training"))  # so that it is not held while the training runs
        self._journal.begin(training.step, state["journal"])
        self._resumed = Place.of_state(state["place"])
        return self._resumed

    def _check_precision(self, asked: str, began: str) -> None:
        path, here = self._folder / _STATE, _fastest(self._runtime.device)
        if asked != began:
            raise ModelError(
                f"{path} is of a training in {began} and cannot go on in {asked}: set student.optimiser.precision to "
                f'"{began}" (teacher.optimiser.precision for a teacher), or remove {self._folder} to begin anew'
            )
        if self._auto != here:
            _LOG.warning(
                "%s: the training goes on in %s, as it began; on this machine it would have begun in %s. Set "
                "optimiser.precision where machines differ",
                path,
                self._auto,
                here,
            )

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
            "precision": training.precision,
            "auto": self._auto,
            "place": training.following.state(),
            "journal": self._journal.state(),
        }
        checkpoint.save(self._folder / _STATE, state)

    def _metrics(self, training: Training) -> dict[str, Any]:
        place: Place = training.following or self._resumed
        # Of each stream, rows of the fullest epoch: a run that ends within one has read a part of it.
        counts = {name: place.counts().get(name, Counts()) for name in self._mixture.sources}
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
            "batch_fill": round(place.fill(), 4),
        }
