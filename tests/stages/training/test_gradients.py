"""Clipping against torch's own, and trainings that diverge: where they end and what they leave."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import ModelError
from stages.training import checkpoint
from stages.training.gradients import Gradients
from tests.stages.training.toy import OPTIMISER, train, training_data


def parameters(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    found = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (5,), (2, 2))]
    for parameter in found[:2]:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return found


@pytest.mark.parametrize("bound", [0.5, 3.0])
def test_gradients_are_clipped_as_torch_clips_them(bound: float) -> None:
    ours, theirs = parameters(), parameters()
    norm = Gradients(ours, bound, lambda: 1.0).clip(1, torch.tensor(2.0))
    wanted = torch.nn.utils.clip_grad_norm_(theirs, bound)
    assert float(norm) == float(wanted) > bound
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("bound", [0.0, 100.0])
def test_below_the_bound_nothing_is_touched(bound: float) -> None:
    ours, before = parameters(), parameters()
    Gradients(ours, bound, lambda: 1.0).clip(1, torch.tensor(2.0))
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(ours[:2], before[:2], strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_is_told_with_its_step(value: float) -> None:
    ours = parameters()
    ours[1].grad[2] = value
    with pytest.raises(ModelError, match=r"step 7: the training diverged: the gradient is no number at .* 0\.25"):
        Gradients(ours, 1.0, lambda: 0.25).clip(7, torch.tensor(2.0))


def test_on_a_gpu_the_first_such_step_is_told_when_somebody_asks() -> None:
    gradients = Gradients(parameters(), 1.0, lambda: 0.25)
    gradients._at_once = False
    for step, loss in ((7, 1.0), (8, math.inf), (9, math.nan)):
        gradients.clip(step, torch.tensor(loss))
    with pytest.raises(ModelError, match="step 8: the training diverged: the loss is inf"):
        gradients.check()


def diverges(folder: Path, **changes: Any) -> int:
    """The step that is named."""
    optimiser = OPTIMISER.model_copy(
        update={"schedule": "constant", "checkpoint_every": 1, "report_every": 1} | changes
    )
    with pytest.raises(
        ModelError, match=r"step \d+: the training diverged: .* Lower optimiser\.learning_rate"
    ) as found:
        train(
            folder,
            optimiser=optimiser,
            data=training_data(**({"valid": []} if not changes.get("validate_every") else {})),
        )
    return int(str(found.value).split(":")[0].removeprefix("step "))


@pytest.mark.parametrize("bound", [0.0, 1.0])
@pytest.mark.parametrize("validate_every", [0, 1])
@pytest.mark.parametrize("rate", [1e25, 1e37, 3e38])
def test_a_training_that_diverges_names_the_step_and_leaves_what_was_before(
    tmp_path: Path, rate: float, validate_every: int, bound: float
) -> None:
    step = diverges(tmp_path, learning_rate=rate, max_grad_norm=bound, validate_every=validate_every)
    assert 1 <= step <= 3
    assert not (tmp_path / "checkpoint.pt").exists() and not (tmp_path / ".metrics.json").exists()
    if (tmp_path / ".state.pt").exists():
        state = checkpoint.load(tmp_path / ".state.pt")["training"]
        assert state["optimiser"]["training_step"] <= step
        assert all(bool(value.isfinite().all()) for value in state["model"].values())
    for line in (tmp_path / "training.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_weights_that_one_step_ruins_are_not_saved_over_good_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last step of all: there is no later one whose loss would tell.
    step = torch.optim.Adam.step

    def ruining(self: torch.optim.Adam, *arguments: Any) -> Any:
        found = step(self, *arguments)
        if int(self.state[self.param_groups[0]["params"][0]]["step"]) == 12:
            self.param_groups[0]["params"][3].data.fill_(torch.nan)
        return found

    monkeypatch.setattr(torch.optim.Adam, "step", ruining)
    assert diverges(tmp_path, learning_rate=1e-3, validate_every=0) == 12
    assert checkpoint.load(tmp_path / ".state.pt")["training"]["optimiser"]["training_step"] == 12


def test_the_norm_is_told(tmp_path: Path) -> None:
    train(tmp_path, optimiser=OPTIMISER.model_copy(update={"max_grad_norm": 1e-3}))
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert all(line["gradient_norm"] > 0.1 for line in lines if "loss" in line)
