"""From a term of the recipe to its loss: which tensors of both models it takes, and what is learned between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stages.training.objective.layers import LayerPair, Shape, Stack
from stages.training.objective.online_config import (
    AttentionTerm,
    ContrastiveTerm,
    FeatureTerm,
    RelationTerm,
    SentenceTerm,
    Term,
)
from stages.training.online.attention import HeadMixture, attention_loss, mean_head
from stages.training.online.positions import masked_mean, sentence_states
from stages.training.online.relations import relation_loss
from stages.training.online.sentences import angle_loss, contrastive_loss, distance_loss, evenly
from stages.training.online.taps import Tap, What

Learned = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Seen:
    """What both models computed on a batch, and which positions [B, S] and [B, T] are no padding."""

    student: Mapping[Tap, Tensor]
    teacher: Mapping[Tap, Tensor]
    masks: Mapping[Stack, Tensor]
    student_heads: int

    def both(self, what: What, stack: Stack, pair: LayerPair) -> tuple[Tensor, Tensor]:
        """One kind of tensor, of the student's layer and of the teacher's."""
        return self.student[Tap(what, stack, pair[0])], self.teacher[Tap(what, stack, pair[1])]


def whats(term: Term) -> tuple[What, ...]:
    """The kinds of tensors that a term compares."""
    if isinstance(term, AttentionTerm):
        return ("cross_attention",) if term.kind == "cross" else ("attention",)
    return term.relations if isinstance(term, RelationTerm) else ("states",)


def learned_map(term: Term, student: Shape, teacher: Shape) -> nn.Module | None:
    """A new map from the student's tensors to the teacher's, where the term needs one for these models."""
    if isinstance(term, FeatureTerm | ContrastiveTerm) and student.width != teacher.width:
        return projection(student.width, teacher.width)
    if isinstance(term, AttentionTerm) and student.heads != teacher.heads and term.unequal_heads == "learned":
        return HeadMixture(student.heads, teacher.heads)
    return None


def compare(term: Term, pair: LayerPair, seen: Seen, learned: Learned | None) -> Tensor:
    """The term's mean for one pair of layers; `learned` is the map of `learned_map`."""
    if isinstance(term, RelationTerm):
        return _relations(term, pair, seen)
    (what,) = whats(term)
    ours, theirs = seen.both(what, term.stack, pair)
    ours, mask = learned(ours) if learned else ours, seen.masks[term.stack]
    if isinstance(term, FeatureTerm):
        return feature_loss(ours, theirs, mask, term.distance)
    if isinstance(term, AttentionTerm):
        if ours.shape[1] != theirs.shape[1]:
            ours, theirs = mean_head(ours), mean_head(theirs)
        return attention_loss(ours, theirs, mask, term.divergence)
    ours, theirs = sentence_states(ours, mask), sentence_states(theirs, mask)
    if isinstance(term, ContrastiveTerm):
        return contrastive_loss(ours, theirs, term.temperature)
    return _sentences(term, ours, theirs)


def _relations(term: RelationTerm, pair: LayerPair, seen: Seen) -> Tensor:
    heads, mask, causal = term.heads or seen.student_heads, seen.masks[term.stack], term.stack == "decoder"
    tensors = [seen.both(what, term.stack, pair) for what in term.relations]
    return torch.stack([relation_loss(ours, theirs, mask, heads, causal=causal) for ours, theirs in tensors]).mean()


def _sentences(term: SentenceTerm, ours: Tensor, theirs: Tensor) -> Tensor:
    rows = evenly(len(ours), term.most_sentences, ours.device)
    loss = distance_loss if term.relation == "distance" else angle_loss
    return loss(ours[rows], theirs[rows])


def feature_loss(student: Tensor, teacher: Tensor, mask: Tensor, distance: Literal["mse", "cosine"]) -> Tensor:
    """FitNets (https://arxiv.org/abs/1412.6550): mean over the positions of mask [B, T] between states [B, T, D].

    The states are of one width. mse: the squared difference, a mean over D. cosine: 1 - the cosine of their angle.
    """
    if distance == "mse":
        return masked_mean((student - teacher).square().mean(2), mask)
    return masked_mean(1 - torch.cosine_similarity(student, teacher, dim=2), mask)


def projection(student_width: int, teacher_width: int) -> nn.Linear:
    """A learned map from the student's states to the teacher's width, drawn from torch's random state (Glorot)."""
    layer = nn.Linear(student_width, teacher_width, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
