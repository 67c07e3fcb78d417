"""All online terms of a training: what of both models is compared in a step, and what is learned for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data.errors import ModelError
from stages.training.batches.stream import pair_of
from stages.training.model import Transformer
from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.layers import LayerPair, layer_pairs
from stages.training.objective.online_config import AttentionTerm, NamedTerm, Term
from stages.training.online.compare import Seen, compare, learned_map, whats
from stages.training.online.faults import online_faults
from stages.training.online.positions import source_mask, target_mask
from stages.training.online.taps import Tap, Taps, shape_of, working
from stages.training.online.teacher import OnlineTeacher
from stages.training.schedules import value_at


class OnlineTerms(nn.Module):
    """The weighted terms of a batch. Its parameters are the maps that the objectives learn, and none of a model's.

    Terms of one kind on the same layers share their map, so that a later phase goes on with what was learned.
    """

    def __init__(self, student: Transformer, teacher: OnlineTeacher, objectives: Sequence[ObjectiveConfig]) -> None:
        """`objectives`: all that will hold in some step. Raises ModelError with all that does not fit the models."""
        super().__init__()
        self._teacher = teacher
        self._shapes = (shape_of(student.module), teacher.shape)
        self._taps = Taps(student.module, in_training_only=True)
        faults = [fault for objective in objectives for fault in online_faults(objective, *self._shapes)]
        if faults:
            raise ModelError("; ".join(f"objective.{fault}" for fault in dict.fromkeys(faults)))
        self._learned = nn.ModuleDict()
        for term in (named.term for objective in objectives for named in objective.online_terms()):
            self._learn(term)
        self._learned.to(next(student.module.parameters()).device)

    def begin(self, objective: ObjectiveConfig, step: int) -> None:
        """Before a step's forward passes: of the student, what this step needs is collected, and nothing else."""
        self._taps.watch(self._wanted(_active(objective, step), model=0))

    def terms(self, batch: dict[str, Any], objective: ObjectiveConfig, step: int) -> dict[str, Tensor]:
        """Means of the terms with a weight other than 0, times it, by name; the teacher runs once, or not at all.

        To be called after the student's forward pass over this batch. A language pair that the teacher is not for has
        none.
        """
        active = _active(objective, step)
        if not active or not self._teacher.is_for(pair_of(batch["stream"])):
            return {}
        seen = Seen(
            {tap: value.to(working(value)) for tap, value in self._taps.take().items()},
            self._teacher.collect(batch, self._wanted(active, model=1)),
            {"encoder": source_mask(batch), "decoder": target_mask(batch)},
            self._shapes[0].heads,
        )
        return {named.name: value_at(named.term.weight, step) * self._mean(named.term, seen) for named in active}

    def _mean(self, term: Term, seen: Seen) -> Tensor:
        """Over the pairs of layers."""
        losses = [compare(term, pair, seen, self._map(term, pair)) for pair in self._pairs(term)]
        return torch.stack(losses).mean()

    def _pairs(self, term: Term) -> tuple[LayerPair, ...]:
        student, teacher = (shape.layers(term.stack) for shape in self._shapes)
        return layer_pairs(term.layers, student, teacher)

    def _wanted(self, active: Sequence[NamedTerm], model: int) -> list[Tap]:
        """What is needed of the student (0) or of the teacher (1)."""
        taps = [
            Tap(what, named.term.stack, pair[model])
            for named in active
            for pair in self._pairs(named.term)
            for what in whats(named.term)
        ]
        return list(dict.fromkeys(taps))

    def _learn(self, term: Term) -> None:
        for pair in self._pairs(term):
            learned = learned_map(term, *self._shapes)
            if learned is not None and _name(term, pair) not in self._learned:
                self._learned[_name(term, pair)] = learned

    def _map(self, term: Term, pair: LayerPair) -> nn.Module | None:
        return dict(self._learned.items()).get(_name(term, pair))


def _name(term: Term, pair: LayerPair) -> str:
    """Of the map that is learned for it, if any."""
    what = f"{term.kind}_{term.unequal_heads}" if isinstance(term, AttentionTerm) else term.stack
    return f"{type(term).__name__}_{what}_{pair[0]}_{pair[1]}"


def _active(objective: ObjectiveConfig, step: int) -> list[NamedTerm]:
    return [named for named in objective.online_terms() if value_at(named.term.weight, step) > 0]


def build_online_terms(
    network: Transformer,
    device: str,
    bfloat16: bool,
    *,
    folder: Path,
    objectives: Sequence[ObjectiveConfig],
    templates: Sequence[str] = (),
) -> OnlineTerms:
    """The terms of a student's objectives with the teacher in `folder`, which runs in bfloat16 or in float32.

    `templates`: of the tags before the student's sources. Raises ModelError when the teacher cannot be used in
    memory or a term does not fit the models.
    """
    vocabularies = (network.source_vocabulary, network.target_vocabulary)
    teacher = OnlineTeacher.load(folder, *vocabularies, device, bfloat16=bfloat16, templates=templates)
    return OnlineTerms(network, teacher, objectives)
