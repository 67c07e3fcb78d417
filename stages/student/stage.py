"""student: a small transformer trained on the distilled dataset, or, as the baseline, on the references alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data import schema
from data.artifact import Artifact
from data.model_folder import CHECKPOINT_FILE, read_vocabulary
from data.runtime import Runtime
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.student.further_config import DatasetConfig, file_faults, name_faults, pairs_of, with_further
from stages.student.further_rows import further_datasets
from stages.student.nbest import NBestConfig
from stages.student.start_config import StartConfig
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.data_config import Data, kinds_of, shares_of, step_without_data, step_without_weight
from stages.training.languages_config import StudentLanguagesConfig
from stages.training.multilingual import Languages, pair_switch
from stages.training.objective.config import ObjectiveConfig
from stages.training.vocabulary import Vocabulary
from stages.training.weights_config import ORIGIN, Weights, weights_field, with_weights

if TYPE_CHECKING:
    from stages.student.streams import Drawing
    from stages.training.api import Extras
    from stages.training.model import Transformer
    from stages.training.objective.phases import Phase
    from stages.training.online.terms import OnlineTerms
    from stages.training.stopping import PairSwitch

VERSION = "6"
LIBRARIES = ("torch", "OpenNMT-py", "sentencepiece")
INPUTS = ("dataset", "corpus", "tokenizer", "teacher")
# Where a row comes from teaches nothing.
_NOT_READ = (ORIGIN, "location")


class SubwordSamplingConfig(BaseModel):
    """Subword regularisation (https://arxiv.org/abs/1804.10959): another way to cut a source each time it comes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    alpha: float = Field(
        0.1,
        description="unigram models: power of a way's probability, the smaller the more even; BPE models: probability "
        "to leave out a merge",
        gt=0,
        le=1,
    )
    nbest_size: int = Field(
        -1, description="unigram models: of how many of the best ways one is drawn; -1: of all", ge=-1, le=512
    )

    @model_validator(mode="after")
    def _several_ways(self) -> Self:
        if self.nbest_size in (0, 1):
            raise ValueError("nbest_size: of 0 or 1 there is nothing to draw; expected -1, for all, or 2 and more")
        return self


class PhaseConfig(BaseModel):
    """A later part of the training; what it leaves out stays as the student's section has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: int = Field(description="step after which this holds, until the next phase begins", ge=1)
    data: Data | None = Field(None, description="what is trained on from here on")
    objective: ObjectiveConfig | None = Field(None, description="the whole objective from here on")


class Config(BaseModel):
    """Options of the student."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Data = Field(
        "hypothesis",
        description="hypothesis: the dataset's targets; nbest: in each epoch one of a source's several "
        "hypotheses, drawn by its weight; reference: the corpus's references; or a table of them with the share of "
        "each, e.g. {hypothesis = 0.8, reference = 0.2}",
    )
    nbest: NBestConfig = Field(
        default_factory=NBestConfig, description="which hypotheses nbest takes, and their weights"
    )
    datasets: list[DatasetConfig] = Field(
        default_factory=list,
        description="further distilled datasets, whose batches join those of data = 'hypothesis'; rows of theirs that "
        "share a text with the corpus's valid or test rows are left out and counted",
    )
    weights: Weights = weights_field()
    subword_sampling: SubwordSamplingConfig | None = Field(
        None,
        description="sources of training rows are cut into subwords in many ways; targets, and with them soft targets, "
        "stay. Needs a SentencePiece model",
    )
    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig, description="what the loss is made of")
    phases: list[PhaseConfig] = Field(
        default_factory=list, description="later parts of the training, in the order of their beginning"
    )
    start: StartConfig | None = Field(None, description="weights of the teacher to start from; by default random ones")
    languages: StudentLanguagesConfig | None = Field(
        None, description="how several language pairs are learned; to be set where the corpus has several"
    )
    model: ModelConfig = Field(default_factory=ModelConfig, description="shape of the student")
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig, description="how it is trained")

    @model_validator(mode="before")
    @classmethod
    def _weights_of_sources(cls, content: Any) -> Any:
        return with_weights(content)

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        begins = [0, *(phase.begin for phase in self.phases), self.optimiser.steps]
        if begins != sorted(set(begins)):
            raise ValueError(
                f"phases begin after {begins[1:-1]} steps of {self.optimiser.steps}: expected later and later, and "
                "before the last step"
            )
        return self

    @model_validator(mode="after")
    def _every_step_has_data(self) -> Self:
        for first, last, data, _ in self.spans():
            if (step := step_without_data(data, first, last)) is not None:
                raise ValueError(f"data: in step {step} every share is 0: there is nothing to train on")
        return self

    @model_validator(mode="after")
    def _datasets_are_used(self) -> Self:
        if fault := name_faults(self.datasets):
            raise ValueError(f"datasets: {fault}")
        if self.datasets and not any("hypothesis" in kinds_of(data) for _, data, _ in self.course()):
            raise ValueError("datasets: they join data = 'hypothesis', which no phase has: leave them out, or set it")
        return self

    @model_validator(mode="after")
    def _learns_something(self) -> Self:
        for first, last, data, objective in self.spans():
            for kind in kinds_of(data):
                step = step_without_weight(data, kind, objective, first, last)
                if step is not None:
                    raise ValueError(
                        f"objective: in step {step} every weight is 0 for data = {kind!r}: nothing is learned from it"
                    )
        return self

    @model_validator(mode="after")
    def _soft_targets_are_there(self) -> Self:
        course = self.course()
        for objective in {id(objective): objective for _, _, objective in course}.values():
            kinds = {kind for _, data, held in course if held is objective for kind in kinds_of(data)}
            asked = objective.soft_targets.model_fields_set
            if asked and objective.reads_soft_targets() and "hypothesis" not in kinds:
                key = "weight" if "weight" in asked else min(asked)
                raise ValueError(
                    f"objective.soft_targets.{key}: soft targets belong to the dataset's targets, and data = "
                    "'reference' or 'nbest' reads none: leave it out, or set data = 'hypothesis', with select.metric = "
                    "'reference' for those of the references"
                )
        return self

    def course(self) -> list[tuple[int, Data, ObjectiveConfig]]:
        """Of every phase the step after which it begins, its data and its objective."""
        parts: list[tuple[int, Data, ObjectiveConfig]] = [(0, self.data, self.objective)]
        for phase in self.phases:
            _, data, objective = parts[-1]
            parts.append((phase.begin, phase.data or data, phase.objective or objective))
        return parts

    def spans(self) -> Iterator[tuple[int, int, Data, ObjectiveConfig]]:
        """Of every phase its first and its last step, its data and its objective."""
        course = self.course()
        ends = [*(begin for begin, _, _ in course[1:]), self.optimiser.steps]
        for (begin, data, objective), end in zip(course, ends, strict=True):
            yield begin + 1, end, data, objective

    def tells_pairs_apart(self) -> bool:
        """Whether a batch must be of one language pair: something is decided, or a teacher asked, pair by pair."""
        asked = any(objective.needs_online_teacher() for _, _, objective in self.course())
        return asked or (self.languages is not None and self.languages.stop_distilling is not None)

    def drawn_by(self) -> tuple[str, ...]:
        """What a row must have where it does not come once in each epoch, and always the same."""
        shares = self.languages is not None and self.languages.sampling_temperature != 1
        return ("id",) if self.weights or self.subword_sampling or shares else ()

    def distils(self) -> bool:
        """Whether some phase compares the student with the teacher, and does not learn from targets alone."""
        return any(
            objective.needs_online_teacher() or (objective.reads_soft_targets() and "hypothesis" in kinds_of(data))
            for _, data, objective in self.course()
        )


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
    corpus = ("source", "reference", *LANGUAGES)
    held_out = dict.fromkeys(("valid", "test") if config.datasets else ("valid",), corpus)
    return {"dataset": {"train": dataset}, "corpus": {"train": (*corpus, *config.drawn_by(), *weighed), **held_out}}


def external_files(config: Config) -> list[Path]:
    """The manifests of further datasets, which name all else in them with its digest."""
    return [one.manifest() for one in config.datasets]


def faults(config: Config) -> list[str]:
    """A line for each further dataset that is not there."""
    return file_faults(config.datasets)


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
    data = training_data(
        inputs,
        config.course(),
        tokens,
        target,
        config.nbest,
        datasets,
        own_tokens=own_tokens,
        more=(*LANGUAGES, *config.drawn_by()) if languages else (),
        drawing=_drawing(config),
    )
    paired, switch = None, None
    if languages and config.languages:
        data, paired = languages.take_apart(data, apart=config.tells_pairs_apart())
        stops = config.languages.stop_distilling if config.distils() else None
        switch = pair_switch(stops, inputs, tokenizer, config.optimiser.max_tokens, paired.untaught, runtime)
    elif alone := untaught(data, config.course()):
        switch = pair_switch(None, inputs, tokenizer, config.optimiser.max_tokens, alone, runtime)
    metrics = train_transformer(
        data=data,
        tokenizer=tokenizer,
        source_vocabulary=source,
        target_vocabulary=target,
        model=config.model,
        optimiser=config.optimiser,
        phases=_phases(config),
        extras=_extras(inputs, config, languages.tagging.templates if languages else (), switch),
        work_dir=Path(output.work_path()),
        runtime=runtime,
    )
    metrics |= {"datasets": {one.name: one.counts() for one in datasets}} if datasets else {}
    return metrics | ({"languages": languages.described(paired)} if languages and paired else {})


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


def _drawing(config: Config) -> "Drawing":
    from stages.student.streams import Drawing
    from stages.training.batches.stream import Sampling

    given = config.subword_sampling
    return Drawing(config.weights, Sampling(given.alpha, given.nbest_size) if given else None)


def _phases(config: Config) -> "list[Phase]":
    from stages.training.objective.phases import Phase

    return [
        Phase(begin, objective, with_further(shares_of(data), config.datasets))
        for begin, data, objective in config.course()
    ]


def _extras(
    inputs: Mapping[str, Artifact], config: Config, templates: Sequence[str], switch: "PairSwitch | None"
) -> "Extras":
    from stages.student.start import starting_from
    from stages.training.api import Extras

    teacher = inputs["teacher"].path()
    initialise = starting_from(teacher / CHECKPOINT_FILE, config.start) if config.start else None
    return Extras(initialise, _online(config, teacher, templates), switch)


def _online(
    config: Config, teacher: Path, templates: Sequence[str]
) -> "Callable[[Transformer, str, bool], OnlineTerms] | None":
    """What makes the terms that need the teacher in memory; None where no phase weighs one."""
    objectives = [objective for _, _, objective in config.course()]
    if not any(objective.needs_online_teacher() for objective in objectives):
        return None
    from stages.training.online.terms import build_online_terms

    return partial(build_online_terms, folder=teacher, objectives=objectives, templates=templates)
