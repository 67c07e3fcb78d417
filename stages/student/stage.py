"""student: a small transformer trained on the distilled dataset, or, as the baseline, on the references alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data import schema
from data.artifact import Artifact
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.student.config import Config
from stages.student.extras import drawing_of, extras_of, phases_of, sampled_tables, teachers_valid
from stages.student.further_config import file_faults, pairs_of
from stages.student.further_rows import FurtherDataset, further_datasets
from stages.student.noise import NoisyReading
from stages.student.row_counts import rows_of
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.training.data_config import kinds_of
from stages.training.multilingual import Languages, pair_switch
from stages.training.vocabulary import Vocabulary
from stages.training.weights_config import ORIGIN

__all__ = ["Config", "external_files", "external_identities", "faults", "inputs", "reads_only", "run"]

VERSION = "6"
LIBRARIES = ("torch", "OpenNMT-py", "sentencepiece")
INPUTS = ("dataset", "corpus", "tokenizer", "teacher")
# Where a row comes from teaches nothing.
_NOT_READ = (ORIGIN, "location")


def inputs(config: Config) -> tuple[str, ...]:
    """The nodes that are read: the baseline needs no dataset."""
    kinds = {kind for _, data, _ in config.course() for kind in kinds_of(data)}
    return INPUTS[1:] if kinds == {"reference"} else INPUTS


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Splits and columns of which a training may read: a new card or a renamed file trains no student again.

    What is held out is read where further datasets are to be kept from it.
    """
    weighed = (ORIGIN,) if config.weights else ()
    dataset = (*(name for name in schema.DATASET.names if name not in _NOT_READ), *weighed)
    corpus = ("source", "reference", *LANGUAGES, "noise", "student_source")
    held_out = dict.fromkeys(("valid", "test") if config.datasets else ("valid",), corpus)
    return {"dataset": {"train": dataset}, "corpus": {"train": (*corpus, *config.drawn_by(), *weighed), **held_out}}


def external_files(config: Config) -> list[Path]:
    """The manifests of further datasets, which name all else in them with its digest."""
    return [one.manifest() for one in config.datasets]


def faults(config: Config) -> list[str]:
    """A line for each further dataset that is not there, and for all in which an earlier student does not fit."""
    earlier = config.earlier.faults(config.model, config.optimiser.known_steps) if config.earlier else []
    return [*file_faults(config.datasets), *earlier]


def external_identities(config: Config) -> dict[str, str]:
    """The earlier student that this one was trained further from, and so its own past."""
    return {config.earlier.path: config.earlier.identity()} if config.earlier else {}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `checkpoint.pt` (OpenNMT-py's format) and `training.jsonl`; a killed run goes on at its last checkpoint.

    With an input `student_tokenizer` it has that one's subwords, and not the teacher's, and learns from texts.
    Raises DataError when there is nothing to train on, ModelError when vocabularies do not belong together.
    """
    from stages.student.streams import training_data, untaught
    from stages.training.api import train_transformer

    teacher, own_tokens = inputs["teacher"].path(), "student_tokenizer" in inputs
    tokenizer = load_tokenizer(inputs["student_tokenizer" if own_tokens else "tokenizer"].path())
    tokens = read_vocabulary(teacher, "target")
    further = pairs_of(config.datasets)
    languages = Languages.of(config.languages, inputs["corpus"], also=further) if config.languages else None
    source, target = _vocabularies(tokenizer, teacher, languages, own_tokens=own_tokens)
    datasets = further_datasets(config.datasets, inputs["corpus"])
    more = (*LANGUAGES, *config.drawn_by()) if languages else ()
    noise = NoisyReading(tokenizer, target)
    given = (inputs, config.course(), tokens, target, config.nbest, datasets)
    data = training_data(*given, own_tokens=own_tokens, more=more, drawing=drawing_of(config, noise))
    if config.validation.targets == "teacher":
        data = replace(data, valid=teachers_valid(inputs, config, output, runtime))
    paired, switch = None, None
    if languages and config.languages:
        data, paired = languages.take_apart(data, apart=config.tells_pairs_apart())
        stops = config.languages.stop_distilling if config.distils() else None
        asked = (inputs, tokenizer, config.optimiser.max_tokens, paired.untaught, runtime)
        switch = pair_switch(stops, *asked, valid=sampled_tables(data.valid, config.validation.rows))
    elif alone := untaught(data, config.course()):
        switch = pair_switch(None, inputs, tokenizer, config.optimiser.max_tokens, alone, runtime)
    metrics = train_transformer(
        data=replace(data, rows=rows_of(data.streams, inputs, datasets)),
        tokenizer=tokenizer,
        source_vocabulary=source,
        target_vocabulary=target,
        model=config.model,
        optimiser=config.optimiser,
        validation=config.validation,
        phases=phases_of(config),
        extras=extras_of(inputs, config, languages.tagging.templates if languages else (), switch, tokenizer),
        work_dir=Path(output.work_path()),
        runtime=runtime,
    )
    metrics |= {"lineage": config.earlier.lineage()} if config.earlier else {}
    metrics |= _told_of_rows(inputs, config, noise, datasets, own_tokens=own_tokens)
    return metrics | ({"languages": languages.described(paired)} if languages and paired else {})


def _told_of_rows(
    inputs: Mapping[str, Artifact],
    config: Config,
    noise: NoisyReading,
    datasets: Sequence[FurtherDataset],
    *,
    own_tokens: bool,
) -> dict[str, Any]:
    """Rows of further datasets, and how noise is read in what is mainly learned; nothing of what there is none of."""
    told: dict[str, Any] = {"datasets": {one.name: one.counts() for one in datasets}} if datasets else {}
    only_references = {kind for _, data, _ in config.course() for kind in kinds_of(data)} == {"reference"}
    target = "reference" if only_references else "target" if own_tokens else "target_tokens"
    counts = noise.counts(inputs["corpus" if only_references else "dataset"], target)
    return told | ({"noise": counts} if counts else {})


def _vocabularies(
    tokenizer: Tokenizer, teacher: Path, languages: Languages | None, *, own_tokens: bool
) -> tuple[Vocabulary, Vocabulary]:
    """Source and target: the tokenizer's where it is the student's own, else the teacher's with all that is in them."""
    if own_tokens:
        sides = tokenizer.source_pieces(), tokenizer.target_pieces()
    else:
        sides = read_vocabulary(teacher, "source"), read_vocabulary(teacher, "target")
    source, target = (languages.vocabulary(side) if languages else side for side in sides)
    return Vocabulary.from_tokens(source), Vocabulary.from_tokens(target)
