"""Which weights ship, and when a training ends by what was found on the validation set."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data.errors import DataError
from stages.training import checkpoint
from stages.training.keeping import Keeper
from stages.training.validation_config import ValidationConfig
from tests.stages.training.test_api import StopError, lines, stop_at
from tests.stages.training.toy import OPTIMISER, train, training_data


def weights_of(step: int) -> list[Tensor]:
    return [torch.full((2, 3), float(step)), torch.tensor([float(step) ** 2])]


def after(folder: Path, figures: list[float], **section: Any) -> Keeper:
    keeper = Keeper(folder, ValidationConfig(**section))
    for step, figure in enumerate(figures, 1):
        keeper.offer(step, figure, weights_of(step))
        keeper.clear()
    return keeper


@pytest.mark.parametrize(
    ("section", "steps"),
    [
        ({"ships": "best"}, [2]),
        ({"ships": "best", "average": 2}, [2, 5]),
        ({"ships": "best", "average": 9}, [1, 2, 3, 4, 5]),
        ({"ships": "best", "metric": "chrf"}, [4]),
        ({"average": 3}, [3, 4, 5]),
        ({}, []),
    ],
)
def test_the_best_or_the_last_are_averaged(tmp_path: Path, section: dict[str, Any], steps: list[int]) -> None:
    keeper = after(tmp_path, [3.0, 1.0, 5.0, 9.0, 1.0], **section)
    assert keeper.shipped() == steps
    assert len(list(tmp_path.glob(".weights-*.pt"))) == len(steps)
    found = keeper.weights()
    if not steps:
        assert found is None
        return
    mean = [sum(values) / len(steps) for values in zip(*map(weights_of, steps), strict=True)]
    for value, wanted in zip(found or [], mean, strict=True):
        torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize(
    ("figures", "ended"),
    [([3, 2, 2, 2], True), ([3, 2, 2, 1], False), ([3, 4, 2, 3], False), ([1, 2, 0.5, 2, 2], True)],
)
def test_patience_counts_validations_that_are_no_better(tmp_path: Path, figures: list[float], ended: bool) -> None:
    assert after(tmp_path, figures, patience=2).stopped is ended


def test_files_stay_until_the_state_that_names_them_is_gone(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, ValidationConfig(ships="best"))
    keeper.offer(1, 5.0, weights_of(1))
    keeper.clear()
    state = keeper.state()
    keeper.offer(2, 4.0, weights_of(2))
    # Killed here, before the state is saved again.
    resumed = Keeper(tmp_path, ValidationConfig(ships="best"))
    resumed.load_state(state)
    assert resumed.shipped() == [1]
    (first, _) = resumed.weights() or []
    assert torch.equal(first, weights_of(1)[0])


def at_every_step(folder: Path, **changes: Any) -> dict[int, list[Tensor]]:
    """The averaged weights after each step of the same training."""
    found = {}
    for step in range(2, 13, 2):
        train(folder / str(step), optimiser=optimiser(steps=step, **changes), data=training_data(valid=[]))
        found[step] = list(checkpoint.load_model(folder / str(step) / "checkpoint.pt", "cpu").module.parameters())
    return found


def optimiser(**changes: Any) -> Any:
    return OPTIMISER.model_copy(update={"learning_rate": 0.3, "validate_every": 2} | changes)


@pytest.mark.parametrize("section", [{"ships": "best"}, {"ships": "best", "average": 2}, {"average": 2}])
def test_what_ships_is_of_the_steps_that_are_named(tmp_path: Path, section: dict[str, Any]) -> None:
    metrics = train(tmp_path / "whole", optimiser=optimiser(), validation=ValidationConfig(**section))
    curve = {line["step"]: line["valid_cross_entropy"] for line in lines(tmp_path / "whole") if "loss" not in line}
    count = section.get("average", 1)
    order = sorted(curve, key=lambda step: curve[step] if section.get("ships") else -step)
    assert metrics["validation"]["shipped_steps"] == sorted(order[:count])
    assert metrics["validation"]["best_step"] == min(curve, key=lambda step: curve[step])
    every = at_every_step(tmp_path)
    mean = [sum(values) / count for values in zip(*(every[step] for step in order[:count]), strict=True)]
    shipped = checkpoint.load_model(tmp_path / "whole" / "checkpoint.pt", "cpu").module.parameters()
    for value, wanted in zip(shipped, mean, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-6, atol=1e-7)


def test_a_training_that_gets_no_better_ends_and_ends_again_after_a_kill(tmp_path: Path) -> None:
    # At such a rate it forgets more than it learns.
    wild = optimiser(
        steps=60, learning_rate=40.0, max_grad_norm=0.0, warmup_steps=2, checkpoint_every=2, report_every=1
    )
    validation = ValidationConfig(ships="best", patience=2)
    whole = train(tmp_path / "whole", optimiser=wild, validation=validation)
    assert whole["steps"] < 60
    assert whole["steps"] == whole["validation"]["best_step"] + 4
    for step in (3, 5):
        with pytest.raises(StopError):
            train(tmp_path / "broken", optimiser=wild, validation=validation, progress=stop_at(step))
    broken = train(tmp_path / "broken", optimiser=wild, validation=validation)
    assert broken | {"timing": 0} == whole | {"timing": 0}
    for name in ("checkpoint.pt", "training.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_there_must_be_something_to_validate_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is nothing to validate on.*set corpus\.valid_fraction"):
        train(tmp_path, data=training_data(valid=[]), validation=ValidationConfig(ships="best"))


def test_the_state_is_plain(tmp_path: Path) -> None:
    keeper = after(tmp_path, [3.0, 1.0], ships="best")
    checkpoint.save(tmp_path / "state.pt", keeper.state())
    found = Keeper(tmp_path, ValidationConfig(ships="best"))
    found.load_state(checkpoint.load(tmp_path / "state.pt"))
    assert json.dumps(found.state()) == json.dumps(keeper.state())
