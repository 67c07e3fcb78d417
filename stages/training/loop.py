"""The training loop: OpenNMT-py's `Trainer` and `Optimizer`, fed with our batches, loss, reports and checkpoints."""

import argparse
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from data.errors import PotstillError
from stages.training.config import OptimiserConfig
from stages.training.dropout import Noise, replace_dropout
from stages.training.gradients import Gradients, check_numbers, diverged
from stages.training.model import Transformer
from stages.training.objective.loss import Objective, loss_sums
from stages.training.objective.phases import Course, one_phase
from stages.training.opennmt import Trainer
from stages.training.optimiser import build_optimiser, use_bfloat16
from stages.training.rounding import rounding
from stages.training.step_loss import DistillationLoss, OnlineTerms
from stages.training.stopping import PairSwitch
from stages.training.sums import Sums
from stages.training.tensors import TorchBatch


class Watcher(Protocol):
    """What a training tells to the outside."""

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        """After every step."""

    def validated(self, step: int, sums: Sums) -> None:
        """After every validation; no sums where there was nothing to validate on."""

    def has_ended(self) -> bool:
        """Whether, by what was found on the validation set, the training is to go no further."""

    def checkpoint(self, training: "Training") -> None:
        """When a checkpoint is due, and at the end."""


class _Reporter:
    """The Trainer's report manager: passes on what our losses have summed."""

    def __init__(self, train_loss: DistillationLoss, watcher: Watcher, validated: Callable[[int], None]) -> None:
        self.start_time = 0.0
        self._train_loss, self._watcher, self._validated = train_loss, watcher, validated

    def report_training(
        self, step: int, num_steps: int, learning_rate: float, patience: object, report_stats: Any, multigpu: bool
    ) -> Any:
        self._watcher.trained(step, learning_rate, self._train_loss.take())
        return report_stats

    def report_step(
        self, learning_rate: float, patience: object, step: int, valid_stats: Any = None, train_stats: Any = None
    ) -> None:
        if valid_stats is not None:
            self._validated(step)


class _Saver:
    """The Trainer's model saver: asks for a checkpoint of ours."""

    def __init__(self, training: "Training", watcher: Watcher) -> None:
        self._training, self._watcher = training, watcher

    def save(self, step: int, moving_average: object = None) -> None:
        self._training.check()
        self._watcher.checkpoint(self._training)


class _EarlyStopping:
    """What the Trainer asks after each validation."""

    current_tolerance = None

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def __call__(self, valid_stats: object, step: int) -> None:
        """What was found is known."""

    def has_stopped(self) -> bool:
        return self._watcher.has_ended()


class _Trainer(Trainer):  # type: ignore[misc]
    """OpenNMT-py's Trainer, but the loss is a mean over target tokens, and a step's dropout depends on its number."""

    seed = 0
    noise: Noise
    gradients: Gradients
    # That were trained on.
    rows = 0
    # After so many steps weights are rounded in the forward pass.
    exact_steps: int
    following: Any = None
    # The last batch that was trained on.
    latest: TorchBatch | None = None
    moving_average: list[Tensor] | None

    def _accum_batches(self, iterator: Iterable[tuple[TorchBatch, int]]) -> Iterator[tuple[list[TorchBatch], int]]:
        batches: list[TorchBatch] = []
        for batch, _ in iterator:
            batches.append(batch)
            if len(batches) < self.accum_count:
                continue
            self.following = batch["following"]
            # No random state to keep: a resumed training draws what the unbroken one would have drawn.
            torch.manual_seed(self.seed * 1_000_003 + self.optim.training_step)
            self.noise.begin(self.optim.training_step)
            self.train_loss.begin(self.optim.training_step, batches)
            yield batches, sum(each["tokens"] for each in batches)
            batches = []

    def _gradient_accumulation(
        self, batches: Sequence[TorchBatch], normalization: int, total_stats: Any, report_stats: Any
    ) -> None:
        """One step; raises PotstillError when memory is short, where the Trainer's own goes on without the batch."""
        self.optim.zero_grad(set_to_none=True)
        losses = []
        with rounding(self.model.parameters()) if self.optim.training_step > self.exact_steps else nullcontext():
            for batch in batches:
                loss, statistics = self._backward(batch, normalization)
                losses.append(loss.detach())
                total_stats.update(statistics)
                report_stats.update(statistics)
                self.rows += batch["rows"]
        self.latest = batches[-1]
        self.train_loss.note("gradient_norm", self.gradients.clip(self.optim.training_step, torch.stack(losses).sum()))
        self.optim.step()

    def _backward(self, batch: TorchBatch, normalization: int) -> tuple[Tensor, Any]:
        try:
            output, attentions = self.model(batch["src"], batch["tgt"], batch["srclen"])
            loss, statistics = self.train_loss(batch, output, attentions)
            self.optim.backward(loss / normalization)
        except torch.OutOfMemoryError as error:
            raise PotstillError(
                f"step {self.optim.training_step}: the device's memory does not suffice for a batch of "
                f"{tuple(batch['tgt'].shape[:2])} target positions: lower optimiser.batch_tokens, and raise "
                f"optimiser.accumulate by as much ({error})"
            ) from error
        return loss, statistics

    def _update_average(self, step: int) -> None:
        parameters = [parameter.detach() for parameter in self.model.parameters()]
        if self.moving_average is None:
            self.moving_average = [parameter.clone() for parameter in parameters]
            return
        newest = max(self.average_decay, 1 - (step + 1) / (step + 10))
        torch._foreach_lerp_(self.moving_average, parameters, newest)


class Training:
    """A model on its way: steps, state to save, state to load."""

    def __init__(
        self,
        model: Transformer,
        config: OptimiserConfig,
        course: Course,
        device: str,
        watcher: Watcher,
        online: OnlineTerms | None = None,
        switch: PairSwitch | None = None,
    ) -> None:
        """`watcher` also says, after a validation, whether the training has ended."""
        self.model, self._online, self._switch = model, online, switch
        self._config = config
        dtype = torch.bfloat16 if use_bfloat16(config.precision, device) else torch.float32
        self._dtype = dtype
        self.precision = str(dtype).removeprefix("torch.")
        if dtype == torch.bfloat16:
            model.module.forward = torch.autocast(device, dtype=dtype)(model.module.forward)
        generator = model.module.generator
        self._train_loss = DistillationLoss(generator, course, dtype, online, switch)
        self._valid_loss = DistillationLoss(generator, one_phase((), label_smoothing=0.0), dtype)
        self._optimiser = build_optimiser(model, config, [] if online is None else list(online.parameters()))
        self._trainer = _Trainer(
            model.module,
            self._train_loss,
            self._valid_loss,
            scoring_preparator=argparse.Namespace(transforms=None),
            valid_scorers={},
            optim=self._optimiser,
            accum_count=[config.accumulate],
            n_gpu=0,
            gpu_rank=-1,
            report_manager=_Reporter(self._train_loss, watcher, self._validated),
            model_saver=_Saver(self, watcher),
            average_decay=config.average_decay,
            earlystopper=_EarlyStopping(watcher),
        )
        self._trainer.seed, self._trainer.noise = config.seed, Noise(config.seed)
        self._trainer.exact_steps = config.steps - config.rounded_steps
        learned = [parameter for group in self._optimiser._optimizer.param_groups for parameter in group["params"]]
        self._trainer.gradients = Gradients(learned, config.max_grad_norm, self._optimiser.learning_rate)
        if device == "cpu":
            replace_dropout(model.module, self._trainer.noise)
        self._watcher = watcher

    @property
    def step(self) -> int:
        """Updates done."""
        return int(self._optimiser.training_step) - 1

    @property
    def following(self) -> Any:
        """Position of the batch after the last one used; None before the first."""
        return self._trainer.following

    @property
    def rows(self) -> int:
        """Rows that were trained on, those of later epochs again."""
        return self._trainer.rows

    @property
    def average(self) -> list[Tensor] | None:
        """The moving average of the parameters, in their order."""
        average: list[Tensor] | None = self._trainer.moving_average
        return average

    def train(self, batches: Iterator[TorchBatch], valid: Iterable[tuple[TorchBatch, int]] | None) -> None:
        """Runs until the configured number of steps is done."""
        config = self._config
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the Trainer's torch.cuda.amp.autocast, never switched on
            self._trainer.train(
                ((batch, 0) for batch in batches),
                config.steps,
                save_checkpoint_steps=config.checkpoint_every,
                valid_iter=valid if config.validate_every else None,
                valid_steps=config.validate_every or config.steps + 1,
            )

    def check(self) -> None:
        """Raises ModelError where the weights are not such that one can go on with them; nothing is changed.

        Finite ones may be so large that no loss comes out: the last batch is looked at once more.
        """
        self._trainer.gradients.check()
        check_numbers(self.step, [*self.model.module.parameters(), *(self.average or [])])
        batch = self._trainer.latest
        if batch is None:
            return
        with torch.no_grad():
            output, _ = self.model.module(batch["src"], batch["tgt"], batch["srclen"])
            layer = self.model.module.generator
            hidden = output.reshape(-1, output.shape[-1]).index_select(0, batch["places"])
            found = loss_sums(hidden, layer.weight, layer.bias, batch["targets"], None, Objective(), self._dtype)
        _check_loss(self.step, float(found.loss))

    def validate(self, valid: Iterable[tuple[TorchBatch, int]]) -> None:
        """Validates the (averaged) weights as they are."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._trainer.validate(valid, moving_average=self.average)
        self._validated(self.step)

    def _validated(self, step: int) -> None:
        of_streams, sums = self._valid_loss.cross_entropies(), self._valid_loss.take()
        if sums:
            _check_loss(step, sums["loss"].mean())
        if self._switch is not None:
            self._switch.validated(of_streams)
        self._watcher.validated(step, sums)

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and averages: all that the next step depends on beside the batches."""
        return {
            "model": self.model.module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self.average,
            "online": None if self._online is None else self._online.state_dict(),
            "switch": None if self._switch is None else self._switch.state(),
            "rows": self.rows,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        torch.nn.Module.load_state_dict(self.model.module, state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._trainer.moving_average = self._on_device(state["average"])
        self._trainer.rows = state["rows"]
        if self._online is not None:
            self._online.load_state_dict(state["online"])
        if self._switch is not None:
            self._switch.load_state(state["switch"])

    def _on_device(self, average: list[Tensor] | None) -> list[Tensor] | None:
        """Where the parameters are: a checkpoint is read into the CPU's memory."""
        if average is None:
            return None
        parameters = self.model.module.parameters()
        return [value.to(parameter.device) for value, parameter in zip(average, parameters, strict=True)]


def _check_loss(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise diverged(step, f"with the weights after it the loss is {loss}")
