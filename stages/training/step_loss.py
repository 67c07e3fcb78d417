"""The loss of a step, all terms over all its batches, in the place where OpenNMT-py's Trainer expects its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, get_args

import torch
from torch import Tensor

from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.loss import loss_sums
from stages.training.objective.online_config import Over
from stages.training.objective.phases import Course
from stages.training.objective.teacher_distribution import of_batch
from stages.training.opennmt import LossCompute, Statistics
from stages.training.stopping import PairSwitch, undistilled
from stages.training.sums import Sum, Sums, added
from stages.training.tensors import TorchBatch
from stages.training.vocabulary import PADDING_ID


class OnlineTerms(Protocol):
    """Terms of the loss that need more than the output layer; a torch.nn.Module of what is learned for them alone."""

    def begin(self, objective: ObjectiveConfig, step: int) -> None:
        """Called before the forward passes of each step, so that what they must leave for `terms` is kept."""

    def terms(self, batch: TorchBatch, objective: ObjectiveConfig, step: int) -> dict[str, Tensor]:
        """Of each term its mean over its own positions times its weight, with gradient; called after the forward pass.

        What weighs nothing in this step is left out and costs nothing.
        """

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """What is learned beside the model, and thrown away with it."""

    def state_dict(self) -> dict[str, Any]:
        """Of the same, to go on from."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Goes back to it."""


class DistillationLoss(LossCompute):  # type: ignore[misc]
    """Our objectives in the place where the Trainer expects its own; keeps running sums until `take`."""

    def __init__(
        self,
        generator: Any,
        course: Course,
        dtype: torch.dtype,
        online: OnlineTerms | None = None,
        switch: PairSwitch | None = None,
    ) -> None:
        super().__init__(torch.nn.CrossEntropyLoss(ignore_index=PADDING_ID, reduction="sum"), generator)
        self._course, self._dtype = course, dtype
        # In a tuple, so that it is no submodule: its parameters are not the loss's, nor the model's.
        self._online = (online,)
        self._switch = switch
        self._sums: dict[str, Sum] = {}
        # Of each stream its cross-entropy.
        self._of_streams: dict[str, Sum] = {}
        self.begin(1, ())

    def begin(self, step: int, batches: Sequence[TorchBatch]) -> None:
        """What holds from now on, and the batches that make the step."""
        self._step, self._objective = step, self._course.objective(step)
        self._positions = {over: sum(batch["positions"][over] for batch in batches) for over in get_args(Over)}
        (online,) = self._online
        if online is not None:
            online.begin(self._course.phase(step).objective, step)

    def forward(
        self, batch: TorchBatch, output: Tensor, attns: object, trunc_start: int = 0, trunc_size: int | None = None
    ) -> tuple[Tensor, Any]:
        """Loss summed over the batch, and OpenNMT-py's statistics. `output` [B, T, D]; never truncated."""
        hidden = output.reshape(-1, output.shape[-1]).index_select(0, batch["places"])
        distilled = self._switch is None or self._switch.distils(batch["stream"])
        objective = self._objective if distilled else undistilled(self._objective)
        soft = of_batch(batch, objective.temperature) if distilled and objective.soft_target_weight else None
        layer = (hidden, self.generator.weight, self.generator.bias)
        sums = loss_sums(*layer, batch["targets"], soft, objective, self._dtype)
        terms, seen = self._terms(batch) if distilled else ([], {})
        loss = sums.loss + sum(terms)
        of_tokens = {**sums._asdict(), "loss": loss}
        if soft is None:
            del of_tokens["divergence"]
        found = {name: Sum(value.detach(), batch["tokens"]) for name, value in of_tokens.items()} | seen
        # How full batches are: of each batch, not of its positions.
        found["batch_fill"] = Sum(torch.tensor(batch["fill"]), 1)
        self._sums = added(self._sums, found)
        self._of_streams = added(self._of_streams, {batch["stream"]: found["cross_entropy"]})
        rows = len(batch["srclen"])
        return loss, Statistics(sums.cross_entropy, 1, rows, batch["tokens"], sums.correct)

    def take(self) -> Sums:
        """Sums since the last call."""
        sums, self._sums, self._of_streams = self._sums, {}, {}
        return sums

    def note(self, name: str, value: Tensor) -> None:
        """Takes a figure of the step, without gradient, of which the mean over steps is told."""
        self._sums = added(self._sums, {name: Sum(value, 1)})

    def cross_entropies(self) -> dict[str, float]:
        """Of each stream, the mean since the last `take`."""
        return {name: found.mean() for name, found in self._of_streams.items()}

    def _terms(self, batch: TorchBatch) -> tuple[list[Tensor], dict[str, Sum]]:
        """What online terms add to the loss, and their sums over their own positions.

        The Trainer divides the step's losses by its target tokens: so much of them stands for a batch as it has of the
        positions that the term is a mean over, all batches of the step counted.
        """
        (online,) = self._online
        if online is None:
            return [], {}
        objective = self._course.phase(self._step).objective
        over = {named.name: named.over for named in objective.online_terms()}
        terms: list[Tensor] = []
        seen: dict[str, Sum] = {}
        for name, mean in online.terms(batch, objective, self._step).items():
            own, of_step = batch["positions"][over[name]], self._positions[over[name]]
            terms.append(mean * (own * self._positions["decoder"] / of_step))
            seen[name] = Sum(mean.detach() * own, own)
        return terms, seen
