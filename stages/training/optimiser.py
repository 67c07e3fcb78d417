"""OpenNMT-py's optimiser around torch's Adam, and the precision that matrix products run in."""

from collections.abc import Sequence
from typing import Any

import torch

from stages.training.config import OptimiserConfig
from stages.training.model import Transformer
from stages.training.opennmt import Optimizer
from stages.training.rates import factor_of


def build_optimiser(model: Transformer, config: OptimiserConfig, others: Sequence[torch.nn.Parameter] = ()) -> Any:
    """OpenNMT-py's optimiser around torch's fused Adam (its own builder takes the slower loop over tensors).

    `others` are learned beside the model's parameters. With a weight decay it is AdamW
    (https://arxiv.org/abs/1711.05101), which leaves biases and normalisations alone.
    """
    parameters = [*model.module.parameters(), *others]
    options: dict[str, Any] = {"betas": (config.adam_beta1, config.adam_beta2), "eps": 1e-8, "fused": True}
    if config.weight_decay:
        matrices = [parameter for parameter in parameters if parameter.dim() > 1]
        vectors = [parameter for parameter in parameters if parameter.dim() <= 1]
        decayed = {"params": matrices, "weight_decay": config.weight_decay}
        adam: torch.optim.Optimizer = torch.optim.AdamW(
            [decayed, {"params": vectors, "weight_decay": 0.0}], lr=config.learning_rate, **options
        )
    else:
        adam = torch.optim.Adam(parameters, lr=config.learning_rate, **options)
    # Gradients are clipped before: the loop looks at their norm anyway.
    return Optimizer(adam, config.learning_rate, factor_of(config, model.options.hidden_size), max_grad_norm=0)


def use_bfloat16(precision: str, device: str) -> bool:
    """Whether matrix products run in bfloat16; `auto` asks whether the hardware multiplies it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
