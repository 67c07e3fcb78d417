"""What a student's training gets beside its data: phases, first weights, a teacher in memory, validation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data.artifact import Artifact
from data.model_folder import CHECKPOINT_FILE
from data.runtime import Runtime
from stages.student.config import Config
from stages.student.earlier_config import STATE_FILE
from stages.student.further_config import with_further
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.training.data_config import shares_of
from stages.training.multilingual import bleu_tokenizer_of

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.student.noise import NoisyReading
    from stages.student.streams import Drawing
    from stages.training.api import Extras
    from stages.training.batches.batches import Stream
    from stages.training.earlier import Earlier
    from stages.training.model import Transformer
    from stages.training.objective.phases import Phase
    from stages.training.online.terms import OnlineTerms
    from stages.training.stopping import PairSwitch


def drawing_of(config: Config, noise: "NoisyReading") -> "Drawing":
    """How rows are drawn and read."""
    from stages.student.streams import Drawing
    from stages.training.batches.stream import Sampling

    given = config.subword_sampling
    return Drawing(config.weights, Sampling(given.alpha, given.nbest_size) if given else None, noise)


def phases_of(config: Config) -> "list[Phase]":
    """The course of the training, each phase with the shares of all streams."""
    from stages.training.objective.phases import Phase

    return [
        Phase(begin, objective, with_further(shares_of(data), config.datasets))
        for begin, data, objective in config.course()
    ]


def teachers_valid(
    inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime
) -> "list[Stream]":
    """The valid split with the teacher's translations for references; raises ModelError as loading a teacher does."""
    from stages.student.teacher_targets import valid_on_teacher

    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    return valid_on_teacher(inputs, tokenizer, config.validation.rows, Path(output.work_path()), runtime)


def sampled_tables(valid: "Sequence[Stream]", rows: int) -> "Iterator[pa.Table]":
    """The rows that a student is validated on."""
    from stages.training.valid_rows import sampled

    return (table for _, table in sampled(valid, rows).tables())


def extras_of(
    inputs: Mapping[str, Artifact],
    config: Config,
    templates: Sequence[str],
    switch: "PairSwitch | None",
    tokenizer: Tokenizer,
) -> "Extras":
    """All else. `templates` are those of language tags, `tokenizer` is the student's."""
    from stages.student.start import starting_from
    from stages.training.api import Extras

    teacher = inputs["teacher"].path()
    initialise = starting_from(teacher / CHECKPOINT_FILE, config.start) if config.start else None
    metric = config.validation.metric
    return Extras(
        initialise,
        _online(config, teacher, templates),
        switch,
        earlier=_earlier(config),
        codec=tokenizer,
        bleu_tokenizer=bleu_tokenizer_of(inputs["corpus"]) if metric == "bleu" else "",
    )


def _earlier(config: Config) -> "Earlier | None":
    from stages.training.earlier import Earlier

    if config.earlier is None:
        return None
    folder, manifest = config.earlier.folder(), config.earlier.content()
    given = Artifact(str(folder), manifest.stage, manifest.fingerprint).path()  # whose digests are verified
    if config.earlier.take == "weights":
        return Earlier(given / CHECKPOINT_FILE)
    return Earlier(given / CHECKPOINT_FILE, given / STATE_FILE, manifest.metrics["precision"])


def _online(
    config: Config, teacher: Path, templates: Sequence[str]
) -> "Callable[[Transformer, str, bool], OnlineTerms] | None":
    """What makes the terms that need the teacher in memory; None where no phase weighs one."""
    objectives = [objective for _, _, objective in config.course()]
    if not any(objective.needs_online_teacher() for objective in objectives):
        return None
    from stages.training.online.terms import build_online_terms

    return partial(build_online_terms, folder=teacher, objectives=objectives, templates=templates)
