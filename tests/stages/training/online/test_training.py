"""Whole trainings beside a teacher: what is learned beside the student is resumed with it, and goes at the end."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.training import checkpoint
from stages.training.api import Extras
from stages.training.config import OptimiserConfig
from stages.training.loop import Training
from stages.training.objective_config import ObjectiveConfig
from stages.training.online.taps import Tap
from stages.training.online.teacher import OnlineTeacher
from stages.training.online.terms import OnlineTerms
from stages.training.phases import Course, Phase
from tests.stages.training.online.models import LARGE, SMALL, VOCABULARY, batch_of, forward, model
from tests.stages.training.test_api import StopError, assert_same_model, lines, stop_at, without_clock
from tests.stages.training.test_loop import Silent
from tests.stages.training.toy import MODEL, OPTIMISER, train

# Both need something learned: the teacher is wider and has more heads.
OBJECTIVE = ObjectiveConfig.model_validate(
    {"features": [{"layers": [[1, 4]]}], "attention": [{"kind": "cross", "layers": "last", "unequal_heads": "learned"}]}
)


class Counting(OnlineTeacher):
    runs = 0

    def collect(self, *arguments: Any) -> dict[Tap, Tensor]:
        self.runs += 1
        return super().collect(*arguments)


def beside() -> Counting:
    return Counting(model(LARGE, seed=1), VOCABULARY, VOCABULARY, bfloat16=False)


def train_beside(folder: Path, teacher: OnlineTeacher | None = None, **changes: Any) -> dict[str, Any]:
    phases = [Phase(0, OBJECTIVE, {"reference": 1.0})]
    extras = Extras(online=lambda network, device: OnlineTerms(network, teacher or beside(), [OBJECTIVE]))
    return train(folder, **({"phases": phases, "extras": extras} | changes))


def test_the_gradient_of_a_step_is_that_of_the_mean_over_the_positions_of_all_its_batches() -> None:
    asked = ObjectiveConfig.model_validate(
        {"soft_targets": {"weight": 0}, "features": [{"stack": "decoder", "weight": 0.3}]}
    )
    network, together = model(), batch_of()
    online = OnlineTerms(network, OnlineTeacher(model(seed=1), VOCABULARY, VOCABULARY, bfloat16=False), [asked])
    parameters = list(network.module.parameters())
    online.begin(asked, 1)
    network.module.train()
    hidden = forward(network, together).reshape(-1, SMALL.width)[together["places"]]
    cross_entropy = torch.nn.functional.cross_entropy(network.module.generator(hidden), together["targets"])
    (features,) = online.terms(together, asked, 1).values()
    wanted = torch.autograd.grad(cross_entropy + features, parameters)

    optimiser = OptimiserConfig(steps=1, accumulate=2, precision="float32", validate_every=0)
    course = Course([Phase(0, asked, {"reference": 1.0})])
    training = Training(network, optimiser, course, "cpu", Silent(), online)
    training.train(iter([batch_of(1), batch_of(0, 2, 3)]), None)
    for parameter, expected in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train_beside(folder)
    return folder


def test_a_stopped_training_ends_with_the_same_weights_and_curves(unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        train_beside(tmp_path, progress=stop_at(8))
    assert checkpoint.load(tmp_path / ".state.pt")["training"]["online"]
    train_beside(tmp_path)
    assert_same_model(unbroken, tmp_path)
    assert without_clock(tmp_path) == without_clock(unbroken)


def test_the_terms_change_what_is_learned_and_stand_in_the_curves(unbroken: Path, tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(AssertionError):
        assert_same_model(unbroken, tmp_path)
    for line in (line for line in lines(unbroken) if "loss" in line):
        assert line["features_encoder"] > 0 and line["attention_cross"] > 0
        assert line["loss"] > line["features_encoder"] + line["attention_cross"]


def test_the_student_has_nothing_of_the_teacher_or_the_maps(unbroken: Path, tmp_path: Path) -> None:
    train(tmp_path)
    with_teacher, alone = (checkpoint.load(folder / "checkpoint.pt")["model"] for folder in (unbroken, tmp_path))
    assert {name: value.shape for name, value in with_teacher.items()} == {
        name: value.shape for name, value in alone.items()
    }
    assert train_beside(unbroken)["parameters"] == train(tmp_path)["parameters"]


def test_validation_does_not_run_the_teacher(tmp_path: Path) -> None:
    teacher = beside()
    metrics = train_beside(tmp_path, teacher)
    assert "valid_cross_entropy" in metrics
    assert teacher.runs == OPTIMISER.steps


@pytest.mark.slow
def test_accumulated_batches_resume_too(tmp_path: Path) -> None:
    optimiser = OPTIMISER.model_copy(update={"accumulate": 3})
    teacher = beside()
    train_beside(tmp_path / "whole", teacher, optimiser=optimiser)
    assert teacher.runs == 3 * OPTIMISER.steps
    with pytest.raises(StopError):
        train_beside(tmp_path / "broken", optimiser=optimiser, progress=stop_at(8))
    train_beside(tmp_path / "broken", optimiser=optimiser)
    assert_same_model(tmp_path / "whole", tmp_path / "broken")


def test_the_student_becomes_like_its_teacher(tmp_path: Path) -> None:
    optimiser = OPTIMISER.model_copy(
        update={
            "steps": 60,
            "learning_rate": 0.01,
            "schedule": "constant",
            "validate_every": 0,
            "report_every": 10,
            "checkpoint_every": 60,
        }
    )
    still = MODEL.model_copy(update={"dropout": 0.0, "attention_dropout": 0.0})
    train_beside(tmp_path, optimiser=optimiser, model=still)
    first, *_, last = (line for line in lines(tmp_path) if "loss" in line)
    assert last["features_encoder"] < 0.5 * first["features_encoder"]
    assert last["attention_cross"] < 0.9 * first["attention_cross"]


def test_bfloat16_is_close_to_float32(tmp_path: Path) -> None:
    """Eight bits of a product are 0.4%; what both computed differs, and by no more than a few of these."""
    curves = {}
    for precision in ("float32", "bfloat16"):
        teacher = Counting(model(LARGE, seed=1), VOCABULARY, VOCABULARY, bfloat16=precision == "bfloat16")
        optimiser = OPTIMISER.model_copy(update={"precision": precision, "steps": 3, "report_every": 1})
        assert train_beside(tmp_path / precision, teacher, optimiser=optimiser)["precision"] == precision
        curves[precision] = [line for line in lines(tmp_path / precision) if "loss" in line]
    for exact, near in zip(curves["float32"], curves["bfloat16"], strict=True):
        for name in ("loss", "cross_entropy", "features_encoder", "attention_cross"):
            assert near[name] == pytest.approx(exact[name], rel=0.015) and near[name] != exact[name], name
