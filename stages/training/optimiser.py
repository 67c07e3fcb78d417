"""OpenNMT-py's optimiser with its learning-rate schedules, and the precision that matrix products run in."""

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from stages.training.config import OptimiserConfig
from stages.training.model import Transformer
from stages.training.opennmt import Optimizer, make_learning_rate_decay_fn


def build_optimiser(model: Transformer, config: OptimiserConfig, others: Sequence[torch.nn.Parameter] = ()) -> Any:
    """OpenNMT-py's optimiser around torch's fused Adam (its own builder takes the slower loop over tensors).

    `others` are learned beside the model's parameters.
    """
    adam = torch.optim.Adam(
        [*model.module.parameters(), *others],
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
