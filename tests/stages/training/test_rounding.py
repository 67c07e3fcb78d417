"""Rounded weights against CTranslate2's own converter, and the gradient that goes straight through."""

from pathlib import Path

import numpy as np
import torch

from stages.training.rounding import rounded, rounding
from tests.stages.training.test_loop import config, mean_loss, new_network, two_batches
from tests.stages.training.toy import OPTIMISER, train


def test_rows_are_rounded_as_the_converter_rounds_them() -> None:
    from ctranslate2.specs import common_spec

    weight = torch.randn(7, 12, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 2, 7)[:, None]
    weight[3] = 0
    spec = common_spec.LinearSpec()
    spec.weight = weight.numpy().copy()
    spec.validate()
    spec.optimize(quantization="int8")
    wanted = spec.weight.numpy().astype(np.float32) / spec.weight_scale.numpy()[:, None]
    np.testing.assert_allclose(rounded(weight).numpy(), wanted, rtol=1e-6)


def test_afterwards_they_are_what_they_were() -> None:
    network = new_network()
    before = [parameter.detach().clone() for parameter in network.module.parameters()]
    with rounding(network.module.parameters()):
        for parameter, value in zip(network.module.parameters(), before, strict=True):
            wanted = rounded(value) if value.dim() == 2 else value
            assert torch.equal(parameter, wanted)
    assert all(map(torch.equal, network.module.parameters(), before))


def test_the_gradient_is_that_of_the_rounded_weights() -> None:
    from stages.training.loop import Training
    from stages.training.objective.phases import one_phase
    from stages.training.tensors import to_torch
    from tests.stages.training.test_loop import Silent

    batches = two_batches()
    by_hand, network = new_network(), new_network()
    with torch.no_grad():
        for parameter in by_hand.module.parameters():
            parameter.copy_(rounded(parameter) if parameter.dim() == 2 else parameter)
    wanted = torch.autograd.grad(mean_loss(by_hand, batches), list(by_hand.module.parameters()))
    training = Training(network, config(accumulate=2, rounded_steps=1), one_phase([], 0.0), "cpu", Silent())
    training.train(iter([to_torch(batch, None, "cpu") for batch in batches]), None)
    for parameter, value in zip(network.module.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, value, rtol=1e-4, atol=1e-6)


def test_only_the_last_steps_are_rounded(tmp_path: Path) -> None:
    given = {"average_decay": 0.0, "report_every": 1}
    losses = {}
    for steps in (0, 5):
        train(tmp_path / str(steps), optimiser=OPTIMISER.model_copy(update=given | {"rounded_steps": steps}))
        text = (tmp_path / str(steps) / "training.jsonl").read_text().splitlines()
        losses[steps] = [line for line in text if '"loss"' in line]
    same = [one == other for one, other in zip(losses[0], losses[5], strict=True)]
    assert same == [True] * 7 + [False] * 5
