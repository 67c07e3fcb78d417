"""What a student is trained on, what it begins with and how it is trained, as a recipe says it."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.student.earlier_config import EarlierConfig
from stages.student.further_config import DatasetConfig, name_faults
from stages.student.nbest import NBestConfig
from stages.student.presets import filled_in
from stages.student.start_config import StartConfig
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.data_config import Data, kinds_of, step_without_data, step_without_weight
from stages.training.languages_config import StudentLanguagesConfig
from stages.training.objective.config import ObjectiveConfig
from stages.training.validation_config import ValidationConfig
from stages.training.weights_config import Weights, weights_field, with_weights


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
    earlier: EarlierConfig | None = Field(
        None, description="a finished student to begin with: more steps, or the same weights on other data"
    )
    languages: StudentLanguagesConfig | None = Field(
        None, description="how several language pairs are learned; to be set where the corpus has several"
    )
    model: ModelConfig = Field(default_factory=ModelConfig, description="shape of the student")
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig, description="how it is trained")
    validation: ValidationConfig = Field(
        default_factory=ValidationConfig, description="what it is validated on, and what follows from it"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_preset_says(cls, section: Any) -> Any:
        return filled_in(section) if isinstance(section, Mapping) else section

    @model_validator(mode="before")
    @classmethod
    def _weights_of_sources(cls, content: Any) -> Any:
        return with_weights(content)

    @model_validator(mode="after")
    def _begins_in_one_way(self) -> Self:
        if self.start and self.earlier:
            raise ValueError(
                "start, earlier: the first weights are the teacher's or an earlier student's; set one of them"
            )
        return self

    @model_validator(mode="after")
    def _validation_is_not_in_vain(self) -> Self:
        if fault := self.validation.fault(self.optimiser.validate_every):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        if self.phases and self.optimiser.known_steps is None:
            raise ValueError("phases begin after so many steps: give optimiser.steps with them, and not epochs")
        begins = [0, *(phase.begin for phase in self.phases), self._last_step()]
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

    def _last_step(self) -> int:
        """The last, or one that none comes after."""
        return self.optimiser.known_steps or 2**62

    def spans(self) -> Iterator[tuple[int, int, Data, ObjectiveConfig]]:
        """Of every phase its first and its last step, its data and its objective."""
        course = self.course()
        ends = [*(begin for begin, _, _ in course[1:]), self._last_step()]
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
