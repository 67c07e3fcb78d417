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
from stages.training.model import Transformer
from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.loss import Objective, loss_sums
from stages.training.objective.phases import Course, Phase
from stages.training.online.taps import Tap
from stages.training.online.teacher import OnlineTeacher
from stages.training.online.terms import OnlineTerms
from stages.training.sums import Sums
from tests.stages.training.online.models import LARGE, SMALL, VOCABULARY, batch_of, forward, model
from tests.stages.training.test_api import StopError, assert_same_model, lines, stop_at
from tests.stages.training.test_loop import Silent
from tests.stages.training.toy import MODEL, OPTIMISER, train

# Both need something learned: the teacher is wider and has more heads.
OBJECTIVE = ObjectiveConfig.model_validate(
    {"features": [{"layers": [[1, 4]]}], "attention": [{"kind": "cross", "layers": "last", "unequal_heads": "learned"}]}
)


class Told(Silent):
    """Keeps the sums of the last step."""

    sums: Sums

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        self.sums = sums


class Counting(OnlineTeacher):
    runs = 0

    def collect(self, *arguments: Any) -> dict[Tap, Tensor]:
        self.runs += 1
        return super().collect(*arguments)


def beside() -> Counting:
    return Counting(model(LARGE, seed=1), VOCABULARY, VOCABULARY, bfloat16=False)


def train_beside(folder: Path, teacher: OnlineTeacher | None = None, **changes: Any) -> dict[str, Any]:
    phases = [Phase(0, OBJECTIVE, {"reference": 1.0})]
    extras = Extras(online=lambda network, device, bfloat16: OnlineTerms(network, teacher or beside(), [OBJECTIVE]))
    return train(folder, **({"phases": phases, "extras": extras} | changes))


OF_POSITIONS = [
    *({"features": [{"stack": stack}]} for stack in ("encoder", "decoder")),
    *({"relations": [{"stack": stack, "weight": 30.0}]} for stack in ("encoder", "decoder")),
    *({"attention": [{"kind": kind, "weight": 30.0}]} for kind in ("encoder_self", "decoder_self", "cross")),
]
OF_BATCHES = [{"sentences": [{"relation": "distance"}]}, {"contrastive": [{"stack": "decoder"}]}]


def asked_for(section: dict[str, Any]) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate({"soft_targets": {"weight": 0}, **section})


def one_step(asked: ObjectiveConfig, batches: list[dict[str, Any]], **changes: Any) -> tuple[Transformer, Told]:
    """A network with the gradient that a training's first step on these batches makes, and what it tells."""
    network, told = model(), Told()
    online = OnlineTerms(
        network, OnlineTeacher(model(seed=1), VOCABULARY, VOCABULARY, bfloat16=False, **changes), [asked]
    )
    given = {"steps": 1, "accumulate": len(batches), "precision": "float32", "validate_every": 0, "max_grad_norm": 0.0}
    optimiser = OptimiserConfig(**given)
    course = Course([Phase(0, asked, {"reference": 1.0})])
    Training(network, optimiser, course, "cpu", told, online).train(iter(batches), None)
    return network, told


def by_hand(asked: ObjectiveConfig, batch: dict[str, Any]) -> tuple[Transformer, Tensor, Tensor]:
    """A network after a forward pass, its cross-entropies by torch's own function, [N], and the term's mean."""
    network = model()
    online = OnlineTerms(network, OnlineTeacher(model(seed=1), VOCABULARY, VOCABULARY, bfloat16=False), [asked])
    online.begin(asked, 1)
    network.module.train()
    hidden = forward(network, batch).reshape(-1, SMALL.width)[batch["places"]]
    logits = network.module.generator(hidden)
    (term,) = online.terms(batch, asked, 1).values()
    return network, torch.nn.functional.cross_entropy(logits, batch["targets"], reduction="none"), term


def gradient(network: Transformer, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(network.module.parameters()), retain_graph=True)
    return torch.cat([each.flatten() for each in found])


def made(network: Transformer) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in network.module.parameters()])


@pytest.mark.parametrize("section", OF_POSITIONS, ids=str)
def test_the_gradient_of_a_step_is_that_of_the_mean_over_the_positions_of_all_its_batches(
    section: dict[str, Any],
) -> None:
    asked = asked_for(section)
    network, losses, term = by_hand(asked, batch_of())
    wanted = gradient(network, losses.mean() + term)
    assert float((wanted - gradient(network, losses.mean())).norm() / wanted.norm()) > 0.1, "the term weighs something"

    found, told = one_step(asked, [batch_of(1), batch_of(0, 2, 3)])
    assert float((made(found) - wanted).norm() / wanted.norm()) < 1e-5
    (name,) = told.sums.keys() - {"loss", "cross_entropy", "correct", "batch_fill", "gradient_norm"}
    assert told.sums[name].mean() == pytest.approx(float(term.detach()), rel=1e-5)
    assert told.sums["loss"].mean() == pytest.approx(float((losses.mean() + term).detach()), rel=1e-5)


@pytest.mark.parametrize("section", OF_BATCHES, ids=str)
def test_what_lies_between_sentences_is_a_mean_over_batches(section: dict[str, Any]) -> None:
    asked, wanted = asked_for(section), torch.zeros(())
    for rows in ((0, 2), (1, 3)):
        network, losses, term = by_hand(asked, batch_of(*rows))
        wanted = wanted + gradient(network, losses.sum() / 14 + term / 2)
    found, _ = one_step(asked, [batch_of(0, 2), batch_of(1, 3)])
    assert float((made(found) - wanted).norm() / wanted.norm()) < 1e-5


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_batch_without_a_teacher_counts_with_0(stack: str) -> None:
    asked = asked_for({"features": [{"stack": stack}]})
    with_teacher, without = batch_of(1, 2) | {"stream": "hypothesis/fr-en"}, batch_of(0, 3) | {"stream": "x/de-en"}
    mine, theirs = (sum(batch["positions"][stack] for batch in batches) for batches in ([with_teacher], [without]))
    network, losses, term = by_hand(asked, with_teacher)
    wanted = gradient(network, losses.sum() / 14 + term * mine / (mine + theirs))
    network, losses, _ = by_hand(asked, without)
    wanted = wanted + gradient(network, losses.sum() / 14)
    found, told = one_step(asked, [with_teacher, without], pairs=["fr-en"])
    assert float((made(found) - wanted).norm() / wanted.norm()) < 1e-5
    assert told.sums[f"features_{stack}"].mean() == pytest.approx(float(term.detach()), rel=1e-5)


@pytest.mark.parametrize("section", OF_POSITIONS + OF_BATCHES, ids=str)
def test_one_batch_a_step_gives_the_sum_of_the_means_to_the_last_bit(section: dict[str, Any]) -> None:
    """Comparisons that were trained so stay as they are."""
    asked, batch = asked_for(section), batch_of()
    network = model()
    online = OnlineTerms(network, OnlineTeacher(model(seed=1), VOCABULARY, VOCABULARY, bfloat16=False), [asked])
    online.begin(asked, 1)
    network.module.train()
    hidden = forward(network, batch).reshape(-1, SMALL.width).index_select(0, batch["places"])
    generator = network.module.generator
    sums = loss_sums(hidden, generator.weight, generator.bias, batch["targets"], None, Objective())
    (term,) = online.terms(batch, asked, 1).values()
    wanted = gradient(network, (sums.loss + term * 14) / 14)
    assert torch.equal(made(one_step(asked, [batch])[0]), wanted)


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
    assert lines(tmp_path) == lines(unbroken)


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
