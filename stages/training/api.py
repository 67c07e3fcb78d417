"""The way in: train a transformer on shards, resuming where a killed run stood."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from data.errors import DataError
from data.runtime import Runtime
from stages.training.allocator import freed_memory_kept
from stages.training.batches.batches import BatchSource, Encoder, Stream
from stages.training.batches.mixture import Mixture
from stages.training.batches.mixture import validation as in_order
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.earlier import Earlier
from stages.training.epochs import in_steps
from stages.training.model import Transformer, build_transformer
from stages.training.objective.phases import Course, Phase, one_phase
from stages.training.run import METRICS, Begun, Run
from stages.training.step_loss import OnlineTerms
from stages.training.stopping import PairSwitch
from stages.training.translating import Codec, Translations
from stages.training.valid_rows import Sample, ValidBatches, sampled
from stages.training.validation_config import ValidationConfig
from stages.training.validator import Validator
from stages.training.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainingData:
    """What is trained and validated on; the names of the streams are those that phases give shares to."""

    streams: Sequence[Stream]
    valid: Sequence[Stream] = ()
    # Of each stream, those in its shards, as far as that is known.
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Extras:
    """What a student may have beyond its own weights; each is made once, for the fresh model."""

    # Sets the first weights.
    initialise: Callable[[Transformer], None] | None = None
    # Terms of the loss that need a teacher in memory, on this device, in bfloat16 or not.
    online: Callable[[Transformer, str, bool], OnlineTerms] | None = None
    # Judges at each validation which of the streams' pairs are distilled.
    switch: PairSwitch | None = None
    # What an earlier training left, to begin with.
    earlier: Earlier | None = None
    # What makes texts of translations, and how BLEU takes them apart: where a validation translates.
    codec: Codec | None = None
    bleu_tokenizer: str = "13a"


def train_transformer(
    *,
    data: TrainingData,
    tokenizer: Encoder,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    model: ModelConfig,
    decoder_only: bool = False,
    optimiser: OptimiserConfig,
    validation: ValidationConfig | None = None,
    phases: Sequence[Phase] = (),
    extras: Extras | None = None,
    work_dir: Path,
    runtime: Runtime,
) -> dict[str, Any]:
    """Trains, and leaves `checkpoint.pt` (OpenNMT-py's format, averaged weights if any), `training.jsonl`, and the
    times of that in `timings.jsonl`.

    Killed and called again with the same arguments it goes on at its last checkpoint, over the same batches and
    random numbers as an unbroken run, in the precision and on the threads that it began with: what it leaves is the
    same to the byte, but for the times and for `timing` in the metrics. Without phases it is cross-entropy on all
    streams alike. `decoder_only`: a language model, which learns to go on with the target where the source ends.
    Returns metrics. Raises DataError when there is nothing to train on, or to validate on where something hangs on it,
    ModelError for a state that is damaged or of another precision than is asked for, and for a training that diverges.
    """
    finished = work_dir / METRICS
    if finished.exists():
        metrics: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return metrics
    extras = extras or Extras()
    earlier, threads = extras.earlier, torch.get_num_threads()
    begun = Begun.in_folder(work_dir, runtime, earlier.precision if earlier else None)
    torch.set_num_threads(begun.threads)
    try:
        with torch.random.fork_rng(), freed_memory_kept():
            torch.manual_seed(optimiser.seed)
            network = build_transformer(
                model, source_vocabulary, target_vocabulary, runtime.device, decoder_only=decoder_only
            )
            if extras.initialise is not None:
                extras.initialise(network)
            if earlier is not None:
                earlier.into(network)
            online = extras.online(network, runtime.device, begun.auto == "bfloat16") if extras.online else None
            course = _course(data.streams, phases, optimiser.label_smoothing)
            given = (validation or ValidationConfig(), extras, begun, work_dir, runtime)
            return _run(network, data, tokenizer, course, optimiser, *given).complete(course, online, extras.switch)
    finally:
        torch.set_num_threads(threads)


def _course(streams: Sequence[Stream], phases: Sequence[Phase], label_smoothing: float) -> Course:
    names = [stream.name for stream in streams]
    return Course(phases, label_smoothing) if phases else one_phase(names, label_smoothing)


def _run(
    network: Transformer,
    data: TrainingData,
    tokenizer: Encoder,
    course: Course,
    optimiser: OptimiserConfig,
    validation: ValidationConfig,
    extras: Extras,
    begun: Begun,
    folder: Path,
    runtime: Runtime,
) -> Run:
    sources = _sources(data.streams, tokenizer, network, optimiser)
    optimiser = in_steps(optimiser, sources.values(), data.rows)
    mixture = Mixture(sources, course.shares, optimiser.seed, optimiser.accumulate)
    validator = _validator(data.valid, tokenizer, network, optimiser, validation, extras, folder, begun, runtime.device)
    return Run(network, mixture, optimiser, begun, folder, runtime, validator, extras.earlier, data.rows)


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


def _validator(
    streams: Sequence[Stream],
    tokenizer: Encoder,
    network: Transformer,
    optimiser: OptimiserConfig,
    config: ValidationConfig,
    extras: Extras,
    folder: Path,
    begun: Begun,
    device: str,
) -> Validator:
    sample = sampled(streams, config.rows)
    sources = in_order(_sources(sample.streams, tokenizer, network, optimiser))
    batches = ValidBatches(sources, device, network.separator) if streams else None
    if config.looks_back() and not (batches and batches.rows()):
        raise DataError(
            "validation: there is nothing to validate on, so no checkpoint is better than another: no row of the valid "
            "split has a source and a target of at most optimiser.max_tokens tokens; set corpus.valid_fraction, or "
            "leave validation.ships, validation.average and validation.patience out"
        )
    translations = _translations(sample, config, extras, optimiser.max_tokens)
    return Validator(config, batches, sample.of, translations, extras.switch, folder, begun.threads)


def _translations(sample: Sample, config: ValidationConfig, extras: Extras, longest: int) -> Translations | None:
    if not config.translates or extras.codec is None:
        return None
    most, tokenizer = config.translate_rows, extras.bleu_tokenizer
    return Translations(sample, extras.codec, config.metric, tokenizer, most=most, longest=longest)
