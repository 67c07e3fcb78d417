"""The training loop: OpenNMT-py's `Trainer` and `Optimizer`, fed with our batches, loss, reports and checkpoints."""

import argparse
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from data.errors import PotstillError
from stages.training.batches.batches import Batch, joined
from stages.training.batches.mixture import Place
from stages.training.config import OptimiserConfig
from stages.training.dropout import Noise, replace_dropout
from stages.training.model import Transformer
from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.loss import loss_sums
from stages.training.objective.online_config import Over
from stages.training.objective.phases import Course, one_phase
from stages.training.objective.teacher_distribution import of_batch
from stages.training.opennmt import LossCompute, Statistics, Trainer
from stages.training.optimiser import build_optimiser, use_bfloat16
from stages.training.stopping import PairSwitch, undistilled
from stages.training.sums import Sum, Sums, added
from stages.training.vocabulary import PADDING_ID

TorchBatch = dict[str, Any]


class OnlineTerms(Protocol):
    """Terms of the loss that need more than the output layer; a torch.nn.Module of what is learned for them alone."""

    def begin(self, objective: ObjectiveConfig, step: int) -> None:
        """Called before the forward passes of each step, so that what they must leave for `terms` is kept."""

    def terms(self, batch: "TorchBatch", objective: ObjectiveConfig, step: int) -> dict[str, Tensor]:
        """Of each term its mean over its own positions times its weight, with gradient; called after the forward pass.

        What weighs nothing in this step is left out and costs nothing.
        """

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """What is learned beside the model, and thrown away with it."""

    def state_dict(self) -> dict[str, Any]:
        """Of the same, to go on from."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Goes back to it."""


class Watcher(Protocol):
    """What a training tells to the outside."""

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        """After every step."""

    def validated(self, step: int, sums: Sums) -> None:
        """After every validation; no sums where there was nothing to validate on."""

    def checkpoint(self, training: "Training") -> None:
        """When a checkpoint is due, and at the end."""


def to_torch(batch: Batch, following: Place | None, device: str, separator: int | None = None) -> TorchBatch:
    """A batch as the Trainer wants it, with what our loss reads beside it; [B, S, 1], [B, 1 + T, 1], [B].

    With a `separator` the source goes on with it and the target, for a language model.
    """
    flat = batch.tgt[:, 1:].ravel()
    learned = np.flatnonzero(np.arange(batch.tgt.shape[1] - 1) < batch.tgtlen[:, None])
    source, places = (batch.src, learned) if separator is None else joined(batch, separator)
    tensors = {
        "src": torch.from_numpy(source).long().unsqueeze(2),
        "tgt": torch.from_numpy(batch.tgt).long().unsqueeze(2),
        "srclen": torch.from_numpy(batch.srclen),
        "tgtlen": torch.from_numpy(batch.tgtlen),
        "places": torch.from_numpy(places),
        "targets": torch.from_numpy(flat[learned]).long(),
    }
    tensors |= {name: torch.from_numpy(values) for name, values in batch.soft.items()}
    if "kd_ids" in tensors:
        tensors["kd_ids"] = tensors["kd_ids"].long()
    if device != "cpu":
        tensors = {name: value.pin_memory().to(device, non_blocking=True) for name, value in tensors.items()}
    if separator is None:
        # So that no mask asks the device for it.
        tensors["srclen"].longest = batch.src.shape[1]  # type: ignore[attr-defined]
    tokens = batch.target_tokens
    positions: dict[Over, int] = {"encoder": int(batch.srclen.sum()), "decoder": tokens, "batch": 1}
    told = {"stream": batch.stream, "tokens": tokens, "fill": batch.fill, "positions": positions}
    return {**tensors, **told, "following": following}


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
        self._watcher.checkpoint(self._training)


class _Trainer(Trainer):  # type: ignore[misc]
    """OpenNMT-py's Trainer, but the loss is a mean over target tokens, and a step's dropout depends on its number."""

    seed = 0
    noise: Noise
    following: Any = None
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
        for batch in batches:
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
            total_stats.update(statistics)
            report_stats.update(statistics)
        self.optim.step()

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
        self.model, self._online, self._switch = model, online, switch
        self._config = config
        dtype = torch.bfloat16 if use_bfloat16(config.precision, device) else torch.float32
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
        )
        self._trainer.seed, self._trainer.noise = config.seed, Noise(config.seed)
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

    def validate(self, valid: Iterable[tuple[TorchBatch, int]]) -> None:
        """Validates the (averaged) weights as they are."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._trainer.validate(valid, moving_average=self.average)
        self._validated(self.step)

    def _validated(self, step: int) -> None:
        if self._switch is not None:
            self._switch.validated(self._valid_loss.cross_entropies())
        self._watcher.validated(step, self._valid_loss.take())

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and averages: all that the next step depends on beside the batches."""
        return {
            "model": self.model.module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self.average,
            "online": None if self._online is None else self._online.state_dict(),
            "switch": None if self._switch is None else self._switch.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        torch.nn.Module.load_state_dict(self.model.module, state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._trainer.moving_average = self._on_device(state["average"])
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
