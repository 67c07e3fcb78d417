"""What is looked at before a step's gradient becomes an update: its norm, and whether all is still a number."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import ModelError


@dataclass
class Diverged:
    """Step and loss of the first step whose gradient was no number, kept on the device until someone asks; 0: none."""

    step: Tensor
    loss: Tensor

    @classmethod
    def on(cls, device: torch.device) -> "Diverged":
        """Of a training that begins."""
        return cls(torch.zeros((), dtype=torch.int64, device=device), torch.zeros((), device=device))


class Gradients:
    """The gradients of some parameters; scales them down to `max_norm`, if that is above 0."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], max_norm: float, rate: Callable[[], float]) -> None:
        """`rate` gives the learning rate of the step, to be told."""
        self._parameters = list(parameters)
        self._max_norm, self._rate = max_norm, rate
        device = self._parameters[0].device
        # A GPU would have to finish the step first.
        self._at_once = device.type == "cpu"
        self._diverged = Diverged.on(device)

    def clip(self, step: int, loss: Tensor) -> Tensor:
        """The norm of all gradients as they were, of no dimension; `loss` is the step's, of which they are.

        Raises ModelError where either is no number: at once on a CPU, else when `check` is called.
        """
        norm = torch.nn.utils.get_total_norm(self._gradients())
        number = torch.isfinite(norm) & torch.isfinite(loss)
        first = ~number & (self._diverged.step == 0)
        self._diverged.step = torch.where(first, step, self._diverged.step)
        self._diverged.loss = torch.where(first, loss, self._diverged.loss)
        if self._at_once:
            self.check()
        # Below the bound nothing is touched; on a GPU it is multiplied by 1, so that nobody waits for the norm.
        if self._max_norm and (not self._at_once or float(norm) > self._max_norm):
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._max_norm, norm)
        return norm

    def check(self) -> None:
        """Raises ModelError where a step's loss or gradient was no number."""
        if step := int(self._diverged.step):
            loss = float(self._diverged.loss)
            what = "the gradient is no number" if math.isfinite(loss) else f"the loss is {loss}"
            raise diverged(step, f"{what} at a learning rate of {self._rate():.3g}")

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]


def check_numbers(step: int, weights: Sequence[Tensor]) -> None:
    """Raises ModelError where a weight is no number."""
    if not all(bool(torch.isfinite(value).all()) for value in weights):
        raise diverged(step, "weights are no numbers any more")


def diverged(step: int, what: str) -> ModelError:
    """The error that ends a training."""
    return ModelError(
        f"step {step}: the training diverged: {what}. What was saved before is as it was. Lower "
        "optimiser.learning_rate, raise optimiser.warmup_steps, or lower optimiser.max_grad_norm"
    )
