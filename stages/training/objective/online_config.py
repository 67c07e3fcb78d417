"""Terms of a recipe's objective that need the teacher in memory: `[[student.objective.features]]` and its like."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.training.objective.layers import LayerMap, Stack
from stages.training.schedules import NonNegative

_LAYERS = (
    "which layer learns from which: uniform (all of the student's, spread over the teacher's), last (the last from "
    "the last), or pairs [student's, teacher's], counted from 1"
)
_WEIGHT = "factor on the term's mean; a number or a schedule. At 0 the teacher does not run for it"


class FeatureTerm(BaseModel):
    """Feature distillation: outputs of layers are to be alike, position by position (https://arxiv.org/abs/1412.6550).

    Where the widths differ a projection of the student's outputs is learned.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: NonNegative = Field(1.0, description=_WEIGHT)
    stack: Stack = Field("encoder", description="whose layers")
    layers: LayerMap = Field("uniform", description=_LAYERS)
    distance: Literal["mse", "cosine"] = Field(
        "mse", description="mean squared difference over the width, or 1 - cosine"
    )


class AttentionTerm(BaseModel):
    """Attention distillation: each position is to look where the teacher's looks (https://arxiv.org/abs/1909.10351)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: NonNegative = Field(1.0, description=_WEIGHT)
    kind: Literal["encoder_self", "decoder_self", "cross"] = Field("encoder_self", description="which attention")
    layers: LayerMap = Field("uniform", description=_LAYERS)
    divergence: Literal["kl", "mse"] = Field(
        "kl", description="KL(teacher || student), or squared differences summed over what is looked at"
    )
    unequal_heads: Literal["mean", "learned"] = Field(
        "mean",
        description="where the models have other numbers of heads: their means are compared, or each head of the "
        "teacher with a learned mixture of the student's",
    )

    @property
    def stack(self) -> Stack:
        """The stack whose layers are numbered."""
        return "encoder" if self.kind == "encoder_self" else "decoder"


class RelationTerm(BaseModel):
    """Relation distillation of self-attention, as MiniLMv2 (https://arxiv.org/abs/2012.15828): KL between relations.

    A relation is the softmax over a sentence's positions of the scaled products of their queries (keys, values). The
    widths may differ: what is compared is [T, T].
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: NonNegative = Field(1.0, description=_WEIGHT)
    stack: Stack = Field("encoder", description="whose self-attention; positions of the decoder see none after them")
    layers: LayerMap = Field("last", description=_LAYERS)
    relations: tuple[Literal["queries", "keys", "values"], ...] = Field(
        ("queries", "keys", "values"), description="between which vectors; their mean is taken", min_length=1
    )
    heads: int | None = Field(
        None, description="heads into which the vectors are regrouped; by default the student's attention heads", ge=1
    )


class SentenceTerm(BaseModel):
    """Relational distillation (RKD, https://arxiv.org/abs/1904.05068): sentences of a batch lie to one another alike.

    A sentence's state is the mean of its positions. Of several batches a step (`accumulate`) it is the mean over them:
    what lies in two batches is not compared.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: NonNegative = Field(1.0, description=_WEIGHT)
    stack: Stack = Field("encoder", description="whose states")
    layers: LayerMap = Field("last", description=_LAYERS)
    relation: Literal["distance", "angle"] = Field(
        "distance", description="distances of pairs over their mean, or the cosines of the angles of triplets"
    )
    most_sentences: int = Field(
        64, description="of a larger batch this many are compared, evenly chosen; angles take their cube", ge=3, le=1024
    )


class ContrastiveTerm(BaseModel):
    """Contrastive distillation: InfoNCE (https://arxiv.org/abs/1807.03748) between both models' sentence states.

    A sentence's state is the mean of its positions; the other sentences of the batch are its negatives. Of several
    batches a step (`accumulate`) it is the mean over them. Where the widths differ a projection of the student's states
    is learned.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: NonNegative = Field(1.0, description=_WEIGHT)
    stack: Stack = Field("encoder", description="whose states")
    layers: LayerMap = Field("last", description=_LAYERS)
    temperature: float = Field(0.1, description="divides the cosines before the softmax over the batch", gt=0)


Term = FeatureTerm | AttentionTerm | RelationTerm | SentenceTerm | ContrastiveTerm

# What a mean is over: positions of the sources, those of the targets, or batches.
Over = Literal["encoder", "decoder", "batch"]


@dataclass(frozen=True)
class NamedTerm:
    """A term, its key below the objective (`features[0]`) and its name in the curves (`features_encoder`)."""

    key: str
    name: str
    term: Term

    @property
    def over(self) -> Over:
        """What the term is a mean over; relations between sentences are within a batch."""
        return "batch" if isinstance(self.term, SentenceTerm | ContrastiveTerm) else self.term.stack


def named_terms(lists: Mapping[str, Sequence[Term]]) -> list[NamedTerm]:
    """The terms of each list with their names; one that comes again gets a number."""
    found: list[NamedTerm] = []
    used: Counter[str] = Counter()
    for section, terms in lists.items():
        for index, term in enumerate(terms):
            name = f"{section}_{_what(term)}"
            used[name] += 1
            number = f"_{used[name]}" if used[name] > 1 else ""
            found.append(NamedTerm(f"{section}[{index}]", name + number, term))
    return found


def _what(term: Term) -> str:
    if isinstance(term, AttentionTerm):
        return term.kind
    return f"{term.stack}_{term.relation}" if isinstance(term, SentenceTerm) else term.stack
