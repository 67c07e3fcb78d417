"""What a student's loss is made of: a weighted sum of objectives, each of them a mean over its own positions."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.training.objective.online_config import (
    AttentionTerm,
    ContrastiveTerm,
    FeatureTerm,
    NamedTerm,
    RelationTerm,
    SentenceTerm,
    named_terms,
)
from stages.training.schedules import NonNegative, Positive, Schedule, Value, always_zero, ends


class SoftTargetTerm(BaseModel):
    """Word-level distillation: temperature ** 2 * KL(teacher || student) to the stored soft targets."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: NonNegative = Field(1.0, description="weight of the divergence; 0 leaves the soft targets unread")
    temperature: Positive = Field(1.0, description="divides both sides' log-probabilities before the divergence")
    missing_mass: Literal["ghost", "renormalise", "gold"] = Field(
        "ghost",
        description="what becomes of the probability that soft targets do not hold: one more bucket, scaled away, "
        "or given to the target's token",
    )
    tempering: Literal["exact", "buckets"] = Field(
        "exact",
        description="at a temperature other than 1, exact: the teacher's whole distribution is tempered, for which "
        "score.temperatures must name it, unless missing_mass is renormalise; buckets: only what missing_mass has left",
    )
    hardest: float = Field(
        1.0,
        description="share of a batch's tokens that take part, those of the highest student cross-entropy",
        gt=0,
        le=1,
    )

    def exact_temperatures(self) -> tuple[float, ...]:
        """Temperatures other than 1 at which stored soft targets must know the mass that they do not hold."""
        if always_zero(self.weight) or self.tempering == "buckets" or self.missing_mass == "renormalise":
            return ()
        return tuple(sorted({*ends(self.temperature)} - {1.0}))

    @model_validator(mode="after")
    def _temperatures_that_can_be_stored(self) -> Self:
        course = self.temperature.course if isinstance(self.temperature, Schedule) else "step"
        first, last = ends(self.temperature)
        if self.exact_temperatures() and course != "step" and first != last:
            raise ValueError(
                f"temperature: a {course} schedule takes more values than can be stored for exact tempering: set "
                'tempering to "buckets", missing_mass to "renormalise", or course to "step"'
            )
        return self


class ObjectiveConfig(BaseModel):
    """The loss: every term's mean over its own positions times its weight, summed. Weights may be schedules.

    The mean is over all batches of a step (`accumulate`); where a batch has no soft targets, or no teacher, they add 0
    to it. So terms weigh by the data's shares, and not by how many batches the data is cut into.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cross_entropy: NonNegative = Field(1.0, description="weight of the cross-entropy on the target's tokens")
    soft_targets: SoftTargetTerm = Field(default_factory=SoftTargetTerm, description="distillation from the dataset")
    shortlist: int = Field(
        0,
        description="0: the loss is over the whole vocabulary, and exact. Else over a batch's targets, the entries "
        "that its soft targets keep, and so many drawn ones of all others, each of which stands for those that it was "
        "drawn of: an estimate, for large vocabularies; temperature must be 1",
        ge=0,
    )
    features: tuple[FeatureTerm, ...] = Field(
        (), description="outputs of layers like the teacher's; this and the tables below need a PyTorch teacher"
    )
    attention: tuple[AttentionTerm, ...] = Field((), description="attention like the teacher's")
    relations: tuple[RelationTerm, ...] = Field((), description="self-attention relations like the teacher's")
    sentences: tuple[SentenceTerm, ...] = Field((), description="relations between sentences like the teacher's")
    contrastive: tuple[ContrastiveTerm, ...] = Field((), description="sentences to be told apart as by the teacher")

    @model_validator(mode="after")
    def _shortlist_at_temperature_1(self) -> Self:
        if self.shortlist and self.reads_soft_targets() and ends(self.soft_targets.temperature) != (1, 1):
            raise ValueError(
                "shortlist: what was drawn stands for all others at temperature 1 alone; leave it out, or set "
                "soft_targets.temperature to 1"
            )
        return self

    def online_terms(self) -> list[NamedTerm]:
        """All that compare the student with a teacher in memory, in the order of the recipe."""
        lists = ("features", "attention", "relations", "sentences", "contrastive")
        return named_terms({name: getattr(self, name) for name in lists})

    def weights(self, *, soft_targets: bool) -> list[Value]:
        """Of all terms; `soft_targets` says whether the data has any."""
        online = [named.term.weight for named in self.online_terms()]
        return [self.cross_entropy, *([self.soft_targets.weight] if soft_targets else []), *online]

    def schedules(self) -> dict[str, Schedule]:
        """Those of its numbers that are schedules, by their keys below the objective."""
        values: dict[str, Value] = {
            "cross_entropy": self.cross_entropy,
            "soft_targets.weight": self.soft_targets.weight,
            "soft_targets.temperature": self.soft_targets.temperature,
            **{f"{named.key}.weight": named.term.weight for named in self.online_terms()},
        }
        return {key: value for key, value in values.items() if isinstance(value, Schedule)}

    def reads_soft_targets(self) -> bool:
        """Whether stored soft targets are needed in any step."""
        return not always_zero(self.soft_targets.weight)

    def needs_online_teacher(self) -> bool:
        """Whether a term compares the student with a teacher in memory in any step."""
        return any(not always_zero(named.term.weight) for named in self.online_terms())


def plain_cross_entropy() -> ObjectiveConfig:
    """Nothing but the cross-entropy on the target."""
    return ObjectiveConfig(soft_targets=SoftTargetTerm(weight=0.0))
