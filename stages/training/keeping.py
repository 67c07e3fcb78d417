"""Weights after single validations: which of them ship, and when a training has waited long enough for better ones."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stages.training import checkpoint
from stages.training.validation_config import ValidationConfig

# Scratch, as the state is: gone when the training is complete.
_NAME = ".weights-{step}.pt"


class Kept(NamedTuple):
    """A validation: after which step, and what the metric was; always the lower the better."""

    step: int
    cost: float


class Keeper:
    """Told of every validation. Keeps the weights of those that may ship in files of `folder`, one a validation.

    What was kept when the state was saved last stays until it is saved again, so that a kill loses none of it.
    """

    def __init__(self, folder: Path, config: ValidationConfig) -> None:
        self._folder, self._config = folder, config
        self._kept: list[Kept] = []
        self._best: Kept | None = None
        self._waited = 0

    @property
    def stopped(self) -> bool:
        """Whether the training has ended for want of a better validation."""
        return 0 < self._config.patience <= self._waited

    @property
    def best(self) -> Kept | None:
        """The best validation so far."""
        return self._best

    def offer(self, step: int, figure: float, weights: Sequence[Tensor]) -> None:
        """The metric after this step and the weights that it is of; of equal ones the earlier is better."""
        cost = figure if self._config.metric == "cross_entropy" else -figure
        found = Kept(step, cost)
        if self._best is None or cost < self._best.cost:
            self._best, self._waited = found, 0
        else:
            self._waited += 1
        if not self._config.keeps:
            return
        order = (lambda one: (one.cost, one.step)) if self._config.ships == "best" else (lambda one: -one.step)
        self._kept = sorted([*self._kept, found], key=order)[: self._config.average]
        if found in self._kept:
            checkpoint.save(self._path(step), {"weights": [value.detach().cpu() for value in weights]})

    def shipped(self) -> list[int]:
        """Steps after which what ships was validated, in their order; none where the last weights ship as they are."""
        return sorted(one.step for one in self._kept)

    def weights(self) -> list[Tensor] | None:
        """The mean of what was kept, in the order of the model's parameters; None where nothing was."""
        total: list[Tensor] = []
        for step in self.shipped():
            values = checkpoint.load(self._path(step))["weights"]
            total = [one + other for one, other in zip(total, values, strict=True)] if total else _exact(values)
        return [(value / len(self._kept)).float() for value in total] or None

    def state(self) -> dict[str, Any]:
        """All that later answers depend on, beside the files."""
        return {"kept": [list(one) for one in self._kept], "best": list(self._best or ()), "waited": self._waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self._kept = [Kept(*one) for one in state["kept"]]
        self._best = Kept(*state["best"]) if state["best"] else None
        self._waited = state["waited"]

    def clear(self) -> None:
        """Removes files that nothing is kept in any more: to be called when the state was saved."""
        for path in set(self._files()) - {self._path(one.step) for one in self._kept}:
            path.unlink()

    def _files(self) -> Iterator[Path]:
        return self._folder.glob(_NAME.format(step="*"))

    def _path(self, step: int) -> Path:
        return self._folder / _NAME.format(step=step)


def _exact(values: Sequence[Tensor]) -> list[Tensor]:
    return [value.to(torch.float64) for value in values]
