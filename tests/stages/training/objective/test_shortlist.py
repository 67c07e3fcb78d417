"""The loss over a part of the vocabulary: the whole one where all is drawn, and an estimate of it elsewhere."""

import itertools
from dataclasses import replace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.loss import LossSums, Objective, loss_sums
from stages.training.objective.shortlist import shortlist
from stages.training.objective.teacher_distribution import MissingMass, SampledTargets
from tests.stages.training.objective.test_loss import N, V, random_layer, random_teacher

EVERY = list(itertools.product(get_args(MissingMass), (0.0, 0.1), (0.0, 0.7), (1.0, 0.3)))


def gradients(objective: Objective, soft: object, targets: Tensor) -> tuple[LossSums, tuple[Tensor, ...]]:
    layer = [part.requires_grad_() for part in random_layer()]
    sums = loss_sums(*layer, targets, soft, objective)  # type: ignore[arg-type]
    return sums, torch.autograd.grad(sums.loss, layer)


@pytest.mark.parametrize(("missing_mass", "smoothing", "cross_entropy", "hardest"), EVERY)
def test_where_all_others_are_drawn_it_is_the_loss_over_the_vocabulary(
    missing_mass: MissingMass, smoothing: float, cross_entropy: float, hardest: float
) -> None:
    targets, soft, _ = random_teacher()
    whole = Objective(smoothing, cross_entropy, 0.5, missing_mass=missing_mass, hardest=hardest)
    wanted, wanted_gradients = gradients(whole, soft, targets)
    found, found_gradients = gradients(replace(whole, shortlist=V), soft, targets)
    torch.testing.assert_close(tuple(found), tuple(wanted))
    torch.testing.assert_close(found_gradients, wanted_gradients)


def test_without_and_with_drawn_soft_targets_likewise() -> None:
    targets, soft, _ = random_teacher()
    drawn = SampledTargets(soft.ids, torch.tensor([[3, 2, 1, 0]]).expand(N, 4), torch.ones(N, dtype=torch.float64))
    for given in (None, drawn):
        wanted = gradients(Objective(0.1, 1.0, 0.5), given, targets)
        found = gradients(Objective(0.1, 1.0, 0.5, shortlist=V), given, targets)
        torch.testing.assert_close((tuple(found[0]), found[1]), (tuple(wanted[0]), wanted[1]))


def test_the_sum_of_exponentials_is_estimated_without_bias() -> None:
    targets = torch.tensor([0, 3])
    logits = random_layer()[0][:2] @ random_layer()[1].t()
    torch.manual_seed(1)
    estimates = []
    for _ in range(4000):
        _, found = shortlist(targets, None, V, 5)
        assert len(found.ids) == 7 and {0, 3} <= set(found.ids.tolist())
        estimates.append((logits[:, found.ids] + found.log_counts).exp().sum(1))
    each = torch.stack(estimates)
    error = each.std(0) / len(each) ** 0.5
    assert ((each.mean(0) - logits.exp().sum(1)).abs() < 4 * error).all()


def test_the_gradient_comes_near_that_of_the_whole_loss_the_more_is_drawn() -> None:
    targets, soft, _ = random_teacher()
    whole = Objective(0.1, 1.0, 0.5)
    _, wanted = gradients(whole, soft, targets)
    apart = []
    for drawn in (1, 4, 8):
        torch.manual_seed(2)
        means = [gradients(replace(whole, shortlist=drawn), soft, targets)[1] for _ in range(200)]
        mean = [torch.stack(each).mean(0) for each in zip(*means, strict=True)]
        apart.append(sum(float((one - other).norm()) for one, other in zip(mean, wanted, strict=True)))
    assert apart[0] > apart[1] > apart[2] and apart[1] < 0.1 * sum(float(each.norm()) for each in wanted)


def test_what_is_looked_at_without_gradient_is_looked_at_whole() -> None:
    targets, _, _ = random_teacher()
    with torch.no_grad():
        wanted = loss_sums(*random_layer(), targets, None, Objective())
        found = loss_sums(*random_layer(), targets, None, Objective(shortlist=2))
    torch.testing.assert_close(tuple(found), tuple(wanted))


def test_it_hangs_on_the_random_state_of_the_step_alone() -> None:
    targets, soft, _ = random_teacher()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(float(gradients(Objective(0.1, shortlist=3), soft, targets)[0].loss))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("temperature", [2.0, {"start": 1.0, "end": 2.0, "until": 5, "course": "step"}])
def test_at_another_temperature_it_is_refused(temperature: object) -> None:
    terms = {"temperature": temperature}
    with pytest.raises(ValidationError, match=r"shortlist: .* at temperature 1 alone"):
        ObjectiveConfig.model_validate({"shortlist": 100, "soft_targets": terms})
    ObjectiveConfig.model_validate({"shortlist": 100, "soft_targets": terms | {"weight": 0.0}})
