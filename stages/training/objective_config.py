"""What a student's loss is made of: a weighted sum of objectives, each of them a mean over its own positions."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.training.online.config import AttentionTerm, ContrastiveTerm, FeatureTerm, RelationTerm, SentenceTerm
from stages.training.online.named import named_terms
from stages.training.schedules import NonNegative, Positive, always_zero


class SoftTargetTerm(BaseModel):
    """Word-level distillation: temperature ** 2 * KL(teacher || student) to the stored soft targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegative = Field(0.5, description="weight of the divergence; 0 leaves the soft targets unread")
    temperature: Positive = Field(1.0, description="divides both sides' log-probabilities before the divergence")
    missing_mass: Literal["ghost", "renormalise", "gold"] = Field(
        "ghost",
        description="what becomes of the probability that soft targets do not hold: one more bucket, scaled away, "
        "or given to the target's token",
    )


class ObjectiveConfig(BaseModel):
    """The loss: every term's mean over its own positions times its weight, summed. Weights may be schedules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: NonNegative = Field(1.0, description="weight of the cross-entropy on the target's tokens")
    soft_targets: SoftTargetTerm = Field(default_factory=SoftTargetTerm, description="distillation from the dataset")
    features: tuple[FeatureTerm, ...] = Field(
        (), description="outputs of layers like the teacher's; this and the tables below need a PyTorch teacher"
    )
    attention: tuple[AttentionTerm, ...] = Field((), description="attention like the teacher's")
    relations: tuple[RelationTerm, ...] = Field((), description="self-attention relations like the teacher's")
    sentences: tuple[SentenceTerm, ...] = Field((), description="relations between sentences like the teacher's")
    contrastive: tuple[ContrastiveTerm, ...] = Field((), description="sentences to be told apart as by the teacher")

    def is_empty(self, *, soft_targets: bool) -> bool:
        """Whether nothing is left to learn from; `soft_targets` says whether the data has any."""
        offline = not always_zero(self.cross_entropy) or (soft_targets and self.reads_soft_targets())
        return not (offline or self.needs_online_teacher())

    def reads_soft_targets(self) -> bool:
        """Whether stored soft targets are needed in any step."""
        return not always_zero(self.soft_targets.weight)

    def needs_online_teacher(self) -> bool:
        """Whether a term compares the student with a teacher in memory in any step."""
        return any(not always_zero(named.term.weight) for named in named_terms(self))


def plain_cross_entropy() -> ObjectiveConfig:
    """Nothing but the cross-entropy on the target."""
    return ObjectiveConfig(soft_targets=SoftTargetTerm(weight=0.0))
