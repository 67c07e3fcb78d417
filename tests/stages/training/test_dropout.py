"""FastDropout against what dropout is by definition."""

import pytest
import torch
from torch import nn

from stages.training.dropout import FastDropout, Noise, replace_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_values_are_dropped_or_scaled(p: float, dtype: torch.dtype) -> None:
    values = torch.randn(400, 501, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    dropped = FastDropout(p, Noise(1))(values)
    zero = dropped == 0
    count = values.numel()
    assert abs(int(zero.sum()) / count - p) < 5 * (p * (1 - p) / count) ** 0.5
    assert dropped.dtype == dtype
    torch.testing.assert_close(dropped[~zero].float(), values[~zero].float() / (1 - p), rtol=0.01, atol=0)

    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert bool((gradient[zero] == 0).all())
    torch.testing.assert_close(
        gradient[~zero].float(), torch.full_like(gradient[~zero], 1 / (1 - p)).float(), rtol=0.01, atol=0
    )


def test_neighbours_are_independent() -> None:
    kept = FastDropout(0.5, Noise(1))(torch.ones(1_000_000)) > 0
    for apart in (1, 2, 3, 4, 8, 1024):
        together = (kept[apart:] & kept[:-apart]).double().mean()
        assert abs(float(together) - 0.25) < 0.0025, apart


def test_a_step_has_its_own_masks_and_always_the_same() -> None:
    noise = Noise(3)
    dropout, ones = FastDropout(0.5, noise), torch.ones(64)

    def masks(step: int) -> list[list[float]]:
        noise.begin(step)
        return [dropout(ones).tolist(), dropout(ones).tolist()]

    first, second, again = masks(1), masks(2), masks(1)
    assert first == again
    assert len({tuple(mask) for mask in (*first, *second)}) == 4
    noise_of_another_seed = FastDropout(0.5, Noise(4))
    assert noise_of_another_seed(ones).tolist() != FastDropout(0.5, Noise(3))(ones).tolist()


def test_evaluation_and_p_0_change_nothing() -> None:
    values = torch.randn(10)
    assert FastDropout(0.5, Noise(1)).eval()(values) is values
    assert FastDropout(0.0, Noise(1))(values) is values


def test_every_dropout_is_replaced_and_names_stay() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.ModuleList([nn.Dropout(0.1)]))
    names = list(module.state_dict())
    replace_dropout(module, Noise(1))
    found = [each.p for each in module.modules() if isinstance(each, FastDropout)]
    assert found == [0.3, 0.1]
    assert not any(isinstance(each, nn.Dropout) for each in module.modules())
    assert list(module.state_dict()) == names
