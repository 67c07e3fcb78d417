"""student: a small transformer trained on the distilled dataset, or, as the baseline, on the references alone."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.artifact import Artifact
from data.errors import DataError
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.tokenizer import load_tokenizer
from stages.training.config import ModelConfig, OptimiserConfig

if TYPE_CHECKING:
    from stages.training.api import TrainingData
    from stages.training.objective import Objective
    from stages.training.vocabulary import Vocabulary

VERSION = "1"
LIBRARIES = ("torch", "OpenNMT-py", "sentencepiece")
INPUTS = ("dataset", "corpus", "tokenizer", "teacher")
# A new card beside the same rows trains no student again.
SHARDS_ONLY = ("dataset", "corpus")
_OF_SOFT_TARGETS = ("soft_target_weight", "cross_entropy_weight", "temperature", "missing_mass")


class Config(BaseModel):
    """Options of the student. loss = cross_entropy_weight * CE + soft_target_weight * temperature ** 2 * KL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Literal["hypothesis", "reference"] = Field(
        "hypothesis", description="train on the dataset's hypotheses, or on the corpus's references as a baseline"
    )
    soft_target_weight: float = Field(
        0.5, description="weight of KL(teacher || student) to the soft targets; 0 leaves them unread", ge=0
    )
    cross_entropy_weight: float = Field(1.0, description="weight of the cross-entropy on the hypothesis", ge=0)
    temperature: float = Field(1.0, description="divides both log-probabilities before KL", gt=0)
    missing_mass: Literal["ghost", "renormalise", "gold"] = Field(
        "ghost",
        description="what becomes of the probability that soft targets do not hold: one more bucket, scaled away, "
        "or given to the target's token",
    )
    model: ModelConfig = Field(default_factory=ModelConfig, description="shape of the student")
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig, description="how it is trained")

    @model_validator(mode="before")
    @classmethod
    def _baseline_has_no_soft_targets(cls, values: Any) -> Any:
        # The baseline shares the student's section; with these dropped, a new weight leaves its fingerprint alone.
        if isinstance(values, dict) and values.get("data") == "reference":
            return {name: value for name, value in values.items() if name not in _OF_SOFT_TARGETS}
        return values

    @model_validator(mode="after")
    def _has_a_loss(self) -> "Config":
        if self.data == "hypothesis" and self.soft_target_weight == self.cross_entropy_weight == 0:
            raise ValueError("soft_target_weight and cross_entropy_weight are both 0: there is nothing to learn from")
        return self


def inputs(config: Config) -> tuple[str, ...]:
    """The nodes that are read: the baseline needs no dataset."""
    return INPUTS if config.data == "hypothesis" else INPUTS[1:]


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `checkpoint.pt` (OpenNMT-py's format) and `training.jsonl`; a killed run goes on at its last checkpoint.

    Raises DataError when there is nothing to train on, ModelError when vocabularies do not belong together.
    """
    from stages.training.api import train_transformer
    from stages.training.vocabulary import Vocabulary

    teacher = inputs["teacher"].path()
    tokens = read_vocabulary(teacher, "target")
    source = Vocabulary.from_tokens(read_vocabulary(teacher, "source"))
    target = Vocabulary.from_tokens(tokens)
    return train_transformer(
        data=_training_data(inputs, config, tokens, target),
        tokenizer=load_tokenizer(inputs["tokenizer"].path()),
        source_vocabulary=source,
        target_vocabulary=target,
        model=config.model,
        optimiser=config.optimiser,
        objective=_objective(config),
        work_dir=Path(output.work_path()),
        runtime=runtime,
    )


def _training_data(
    inputs: Mapping[str, Artifact], config: Config, teacher_tokens: Sequence[str], vocabulary: "Vocabulary"
) -> "TrainingData":
    from stages.training.api import TrainingData
    from stages.training.soft_columns import COLUMNS, SoftTargetColumns

    valid = _shards(inputs["corpus"], "valid-", ("source", "reference"))
    if config.data == "reference":
        return TrainingData(_shards(inputs["corpus"], "train-", ("source", "reference")), "reference", valid)
    with_soft_targets = config.soft_target_weight > 0
    columns = ("source", "target_tokens", *(COLUMNS if with_soft_targets else ()))
    reader = SoftTargetColumns(teacher_tokens, vocabulary) if with_soft_targets else None
    return TrainingData(_shards(inputs["dataset"], "", columns), "target_tokens", valid, soft_targets=reader)


def _shards(artifact: Artifact, prefix: str, columns: Sequence[str]) -> "list[partial[Any]]":
    names = artifact.shard_names(prefix)
    if not names and prefix != "valid-":
        raise DataError(f"{artifact.url} has no shards named {prefix}*: there is nothing to train on")
    return [partial(artifact.read_shard, name, columns) for name in names]


def _objective(config: Config) -> "Objective":
    from stages.training.objective import Objective

    reference = config.data == "reference"
    return Objective(
        label_smoothing=config.optimiser.label_smoothing,
        cross_entropy_weight=1.0 if reference else config.cross_entropy_weight,
        soft_target_weight=0.0 if reference else config.soft_target_weight,
        temperature=config.temperature,
        missing_mass=config.missing_mass,
    )
