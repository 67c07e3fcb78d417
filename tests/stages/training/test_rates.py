"""The learning rate against torch's own schedulers, and AdamW against torch's own optimiser."""

import math
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from stages.training.config import OptimiserConfig
from stages.training.optimiser import build_optimiser
from stages.training.rates import factor_of
from tests.stages.training.test_loop import new_network

PEAK, WARMUP, STEPS = 0.003, 7, 40


def config(schedule: str, **changes: Any) -> OptimiserConfig:
    given = {"schedule": schedule, "learning_rate": PEAK, "warmup_steps": WARMUP, "steps": STEPS}
    return OptimiserConfig.model_validate(given | changes)


def of_torch(schedule: str, hold: int) -> list[float]:
    """Rates of steps 1 to STEPS by schedulers that torch has."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    rise = lr_scheduler.LinearLR(optimiser, start_factor=1 / WARMUP, end_factor=1.0, total_iters=WARMUP - 1)
    level = lr_scheduler.ConstantLR(optimiser, factor=1.0, total_iters=1)
    left = STEPS + 1 - WARMUP - hold
    fall: Any = {
        "linear": lambda: lr_scheduler.LinearLR(optimiser, start_factor=1.0, end_factor=0.0, total_iters=left),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimiser, T_max=left),
        "inverse_sqrt": lambda: lr_scheduler.LambdaLR(
            optimiser, lambda k: math.sqrt((WARMUP + hold) / (WARMUP + hold + k))
        ),
    }[schedule]()
    parts, ends = ([rise, level, fall], [WARMUP - 1, WARMUP - 1 + hold]) if hold else ([rise, fall], [WARMUP - 1])
    whole = lr_scheduler.SequentialLR(optimiser, parts, ends)
    rates = []
    for _ in range(STEPS):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        whole.step()
    return rates


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("hold", [0, 5])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "inverse_sqrt"])
def test_rates_are_those_of_torchs_schedulers(schedule: str, hold: int) -> None:
    optimiser = build_optimiser(new_network(), config(schedule, hold_steps=hold))
    for wanted in of_torch(schedule, hold):
        assert optimiser.learning_rate() == pytest.approx(wanted, rel=1e-6, abs=1e-12)
        optimiser.step()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_last_step_still_learns_and_one_more_would_not(schedule: str) -> None:
    factor = factor_of(config(schedule), 16)
    assert 0 < factor(STEPS) < 0.05
    assert factor(STEPS + 1) == pytest.approx(0.0, abs=1e-15) and factor(STEPS + 9) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_weights_decay_as_torchs_adamw_has_it(decay: float) -> None:
    ours, theirs = new_network(), new_network()
    optimiser = build_optimiser(ours, config("constant", weight_decay=decay))
    every = list(theirs.module.parameters())
    groups = [
        {"params": [each for each in every if each.dim() > 1], "weight_decay": decay},
        {"params": [each for each in every if each.dim() <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.998), eps=1e-8)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for mine, other in zip(ours.module.parameters(), every, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        optimiser.step()
        adam.step()
    for mine, other in zip(ours.module.parameters(), every, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"warmup_steps": 40}, "40 of 40 steps leave none for schedule = 'linear' to fall in"),
        ({"hold_steps": 33}, "40 of 40 steps leave none"),
        ({"schedule": "noam", "hold_steps": 3}, "hold_steps: not used with schedule = 'noam'"),
        ({"epochs": 2}, "steps, epochs: either says how long"),
        ({"weight_decay": 1.0}, "less than 1"),
    ],
)
def test_faults_are_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        config(**({"schedule": "linear"} | changes))
