"""student: a small transformer trained on the distilled dataset, or, as the baseline, on the references alone."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.artifact import Artifact
from data.model_folder import CHECKPOINT_FILE, read_vocabulary
from data.runtime import Runtime
from stages.tokenizer import load_tokenizer
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.data_config import Data, kinds_of, shares_of
from stages.training.objective_config import ObjectiveConfig
from stages.training.start_config import StartConfig

if TYPE_CHECKING:
    from stages.training.api import Extras
    from stages.training.model import Transformer
    from stages.training.online.terms import OnlineTerms
    from stages.training.phases import Phase

VERSION = "2"
LIBRARIES = ("torch", "OpenNMT-py", "sentencepiece")
INPUTS = ("dataset", "corpus", "tokenizer", "teacher")
# A new card beside the same rows trains no student again.
SHARDS_ONLY = ("dataset", "corpus")


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
        description="hypothesis: the dataset's targets; reference: the corpus's references; or a table of both with "
        "the share of each, e.g. {hypothesis = 0.8, reference = 0.2}",
    )
    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig, description="what the loss is made of")
    phases: list[PhaseConfig] = Field(
        default_factory=list, description="later parts of the training, in the order of their beginning"
    )
    start: StartConfig | None = Field(None, description="weights of the teacher to start from; by default random ones")
    model: ModelConfig = Field(default_factory=ModelConfig, description="shape of the student")
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig, description="how it is trained")

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
    def _learns_something(self) -> Self:
        courses = [(kinds_of(data), objective) for _, data, objective in self.course()]
        for kinds, objective in courses:
            if objective.is_empty(soft_targets="hypothesis" in kinds):
                raise ValueError("objective: every weight is 0 in a phase: there is nothing to learn from")
        asked = {"soft_targets", "weight"} <= _set_names(self.objective)
        if asked and self.objective.reads_soft_targets() and not any("hypothesis" in kinds for kinds, _ in courses):
            raise ValueError(
                "objective.soft_targets.weight: soft targets belong to the dataset's targets, and data = 'reference' "
                "reads none; for those of the references set select.metric = 'reference' and data = 'hypothesis'"
            )
        return self

    def course(self) -> list[tuple[int, Data, ObjectiveConfig]]:
        """Of every phase the step after which it begins, its data and its objective."""
        parts: list[tuple[int, Data, ObjectiveConfig]] = [(0, self.data, self.objective)]
        for phase in self.phases:
            _, data, objective = parts[-1]
            parts.append((phase.begin, phase.data or data, phase.objective or objective))
        return parts


def inputs(config: Config) -> tuple[str, ...]:
    """The nodes that are read: the baseline needs no dataset."""
    kinds = {kind for _, data, _ in config.course() for kind in kinds_of(data)}
    return INPUTS[1:] if kinds == {"reference"} else INPUTS


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `checkpoint.pt` (OpenNMT-py's format) and `training.jsonl`; a killed run goes on at its last checkpoint.

    Raises DataError when there is nothing to train on, ModelError when vocabularies do not belong together.
    """
    from stages.training.api import train_transformer
    from stages.training.streams import training_data
    from stages.training.vocabulary import Vocabulary

    teacher = inputs["teacher"].path()
    tokens = read_vocabulary(teacher, "target")
    target = Vocabulary.from_tokens(tokens)
    return train_transformer(
        data=training_data(inputs, config.course(), tokens, target),
        tokenizer=load_tokenizer(inputs["tokenizer"].path()),
        source_vocabulary=Vocabulary.from_tokens(read_vocabulary(teacher, "source")),
        target_vocabulary=target,
        model=config.model,
        optimiser=config.optimiser,
        phases=_phases(config),
        extras=_extras(config, teacher),
        work_dir=Path(output.work_path()),
        runtime=runtime,
    )


def _phases(config: Config) -> "list[Phase]":
    from stages.training.phases import Phase

    return [Phase(begin, objective, shares_of(data)) for begin, data, objective in config.course()]


def _extras(config: Config, teacher: Path) -> "Extras":
    from stages.training.api import Extras
    from stages.training.start import starting_from

    initialise = starting_from(teacher / CHECKPOINT_FILE, config.start) if config.start else None
    return Extras(initialise, _online(config, teacher))


def _online(config: Config, teacher: Path) -> "Callable[[Transformer, str], OnlineTerms] | None":
    """What makes the terms that need the teacher in memory; None where no phase weighs one."""
    objectives = [objective for _, _, objective in config.course()]
    if not any(objective.needs_online_teacher() for objective in objectives):
        return None
    from stages.training.online.terms import build_online_terms

    return partial(build_online_terms, folder=teacher, objectives=objectives, precision=config.optimiser.precision)


def _set_names(objective: ObjectiveConfig) -> set[str]:
    """What a recipe says itself of the objective and of its soft targets."""
    return objective.model_fields_set | objective.soft_targets.model_fields_set
