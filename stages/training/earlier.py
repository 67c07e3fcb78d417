"""A training that begins with what an earlier one left: its weights, or all that it could have gone on with."""

from dataclasses import dataclass
from pathlib import Path

import torch

from data.errors import ModelError
from stages.training import checkpoint
from stages.training.config import Precision
from stages.training.model import Transformer
from stages.training.vocabulary import Vocabulary


@dataclass(frozen=True)
class Earlier:
    """What is taken: `state`, with the curves beside it, is None for the weights alone. `precision` is what it had."""

    weights: Path
    state: Path | None = None
    precision: Precision | None = None

    def into(self, model: Transformer) -> None:
        """Gives a fresh model the earlier weights; raises ModelError, with all reasons, where they do not fit."""
        earlier = checkpoint.load_model(self.weights, "cpu")
        faults = _faults(model, earlier)
        if faults:
            raise ModelError(f"{self.weights} cannot be trained further as this student: {'; '.join(faults)}")
        with torch.no_grad():
            theirs = earlier.module.named_parameters()
            for (name, mine), (other, value) in zip(model.module.named_parameters(), theirs, strict=True):
                if name != other:
                    raise ModelError(f"{self.weights} has {other} where this student has {name}")
                mine.copy_(value)


def _faults(model: Transformer, earlier: Transformer) -> list[str]:
    sides = (
        ("source", model.source_vocabulary, earlier.source_vocabulary),
        (
            "target",
            model.target_vocabulary,
            earlier.target_vocabulary,
        ),
    )
    faults = [fault for name, ours, theirs in sides if (fault := _vocabulary_fault(name, ours, theirs))]
    mine, theirs_ = (dict(each.module.named_parameters()) for each in (model, earlier))
    if lacking := sorted(mine.keys() ^ theirs_.keys()):
        faults.append(f"{len(lacking)} weights are in one of them only, such as {lacking[0]}")
    others = [name for name in mine.keys() & theirs_.keys() if mine[name].shape != theirs_[name].shape]
    if others and not faults:
        name = min(others)
        faults.append(f"{name} is {list(theirs_[name].shape)} there and {list(mine[name].shape)} here")
    return faults


def _vocabulary_fault(side: str, ours: Vocabulary, theirs: Vocabulary) -> str:
    if ours.tokens == theirs.tokens:
        return ""
    places = zip(ours.tokens, theirs.tokens, strict=False)
    first = next(
        (f"{one!r} here and {other!r} there" for one, other in places if one != other), "where one of them ends"
    )
    return (
        f"its {side} vocabulary has {len(theirs)} tokens and this one {len(ours)}, which differ first in {first}; it "
        "must be of the same tokenizer or teacher"
    )
