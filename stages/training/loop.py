"""The training loop: OpenNMT-py's `Trainer` and `Optimizer`, fed with our batches, loss, reports and checkpoints."""

import argparse
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from stages.training.batches import Batch
from stages.training.config import OptimiserConfig
from stages.training.dropout import Noise, replace_dropout
from stages.training.model import Transformer
from stages.training.objective import LossSums, Objective, SoftTargets, loss_sums
from stages.training.vocabulary import PADDING_ID

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of torch.cuda.amp, on every import
    import onmt.trainer
    import onmt.utils
    from onmt.utils.loss import LossCompute
    from onmt.utils.optimizers import Optimizer, make_learning_rate_decay_fn

TorchBatch = dict[str, Any]


class Watcher(Protocol):
    """What a training tells to the outside."""

    def trained(self, step: int, learning_rate: float, tokens: int, sums: Tensor) -> None:
        """After every step; `sums` [4] as in LossSums, over `tokens` target positions."""

    def validated(self, step: int, tokens: int, sums: Tensor) -> None:
        """After every validation."""

    def checkpoint(self, training: "Training") -> None:
        """When a checkpoint is due, and at the end."""


def to_torch(batch: Batch, device: str) -> TorchBatch:
    """A batch as the Trainer wants it, with what our loss reads beside it; [B, S, 1], [B, 1 + T, 1], [B]."""
    flat = batch.tgt[:, 1:].ravel()
    places = (flat != PADDING_ID).nonzero()[0]
    tensors = {
        "src": torch.from_numpy(batch.src).long().unsqueeze(2),
        "tgt": torch.from_numpy(batch.tgt).long().unsqueeze(2),
        "srclen": torch.from_numpy(batch.srclen),
        "places": torch.from_numpy(places),
        "targets": torch.from_numpy(flat[places]).long(),
    }
    tensors |= {name: torch.from_numpy(values) for name, values in batch.soft.items()}
    if "kd_ids" in tensors:
        tensors["kd_ids"] = tensors["kd_ids"].long()
    if device != "cpu":
        tensors = {name: value.pin_memory().to(device, non_blocking=True) for name, value in tensors.items()}
    return {**tensors, "tokens": batch.target_tokens, "following": batch.following}


class DistillationLoss(LossCompute):  # type: ignore[misc]
    """Our objective in the place where the Trainer expects its own; keeps running sums until `take`."""

    def __init__(self, generator: Any, objective: Objective, dtype: torch.dtype) -> None:
        super().__init__(torch.nn.CrossEntropyLoss(ignore_index=PADDING_ID, reduction="sum"), generator)
        self._objective = objective
        self._dtype = dtype
        self._sums: Tensor | None = None
        self._tokens = 0

    def forward(
        self, batch: TorchBatch, output: Tensor, attns: object, trunc_start: int = 0, trunc_size: int | None = None
    ) -> tuple[Tensor, Any]:
        """Loss summed over the batch, and OpenNMT-py's statistics. `output` [B, T, D]; never truncated."""
        hidden = output.reshape(-1, output.shape[-1]).index_select(0, batch["places"])
        soft = SoftTargets(batch["kd_ids"], batch["kd_log_probs"], batch["kd_tail"]) if "kd_ids" in batch else None
        sums = loss_sums(
            hidden, self.generator.weight, self.generator.bias, batch["targets"], soft, self._objective, self._dtype
        )
        self._add(sums, batch["tokens"])
        rows = len(batch["srclen"])
        return sums.loss, onmt.utils.Statistics(sums.cross_entropy, 1, rows, batch["tokens"], sums.correct)

    def take(self) -> tuple[int, Tensor]:
        """Target positions and sums [4] (as in LossSums) since the last call."""
        tokens, sums = self._tokens, self._sums
        self._tokens, self._sums = 0, None
        return tokens, torch.zeros(4) if sums is None else sums

    def _add(self, sums: LossSums, tokens: int) -> None:
        values = torch.stack([value.detach() for value in sums])
        self._sums = values if self._sums is None else self._sums + values
        self._tokens += tokens


class _Reporter:
    """The Trainer's report manager: passes on what our losses have summed."""

    def __init__(self, train_loss: DistillationLoss, valid_loss: DistillationLoss, watcher: Watcher) -> None:
        self.start_time = 0.0
        self._train_loss, self._valid_loss, self._watcher = train_loss, valid_loss, watcher

    def report_training(
        self, step: int, num_steps: int, learning_rate: float, patience: object, report_stats: Any, multigpu: bool
    ) -> Any:
        self._watcher.trained(step, learning_rate, *self._train_loss.take())
        return report_stats

    def report_step(
        self, learning_rate: float, patience: object, step: int, valid_stats: Any = None, train_stats: Any = None
    ) -> None:
        if valid_stats is not None:
            self._watcher.validated(step, *self._valid_loss.take())


class _Saver:
    """The Trainer's model saver: asks for a checkpoint of ours."""

    def __init__(self, training: "Training", watcher: Watcher) -> None:
        self._training, self._watcher = training, watcher

    def save(self, step: int, moving_average: object = None) -> None:
        self._watcher.checkpoint(self._training)


class _Trainer(onmt.trainer.Trainer):  # type: ignore[misc]
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
            yield batches, sum(each["tokens"] for each in batches)
            batches = []

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
        self, model: Transformer, config: OptimiserConfig, objective: Objective, device: str, watcher: Watcher
    ) -> None:
        self.model = model
        self._config = config
        dtype = torch.bfloat16 if use_bfloat16(config.precision, device) else torch.float32
        self.precision = str(dtype).removeprefix("torch.")
        if dtype == torch.bfloat16:
            model.module.forward = torch.autocast(device, dtype=dtype)(model.module.forward)
        generator = model.module.generator
        self._train_loss = DistillationLoss(generator, objective, dtype)
        self._valid_loss = DistillationLoss(generator, Objective(), dtype)
        self._optimiser = build_optimiser(model, config)
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
            report_manager=_Reporter(self._train_loss, self._valid_loss, watcher),
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
        self._watcher.validated(self.step, *self._valid_loss.take())

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and averages: all that the next step depends on beside the batches."""
        return {
            "model": self.model.module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self.average,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        torch.nn.Module.load_state_dict(self.model.module, state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._trainer.moving_average = state["average"]


def build_optimiser(model: Transformer, config: OptimiserConfig) -> Any:
    """OpenNMT-py's optimiser around torch's fused Adam (its own builder takes the slower loop over tensors)."""
    adam = torch.optim.Adam(
        model.module.parameters(),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=1e-8,
        fused=True,
    )
    options = argparse.Namespace(
        decay_method={"noam": "noam", "rsqrt": "rsqrt", "constant": "none"}[config.schedule],
        warmup_steps=config.warmup_steps,
        hidden_size=model.options.hidden_size,
        start_decay_steps=None,
    )
    schedule = make_learning_rate_decay_fn(options)
    return Optimizer(adam, config.learning_rate, schedule, max_grad_norm=config.max_grad_norm)


def use_bfloat16(precision: str, device: str) -> bool:
    """Whether matrix products run in bfloat16; `auto` asks whether the hardware multiplies it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
