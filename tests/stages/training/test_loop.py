"""One step of OpenNMT-py's Trainer under our hands against the same step by hand."""

import math

import pytest
import torch
from torch import Tensor

from data.errors import PotstillError
from stages.training.batches.batches import Batch, BatchSource, Position
from stages.training.config import OptimiserConfig
from stages.training.loop import Training
from stages.training.model import Transformer, build_transformer
from stages.training.objective.phases import one_phase
from stages.training.optimiser import build_optimiser, use_bfloat16
from stages.training.sums import Sums
from stages.training.tensors import to_torch
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import MODEL, WORDS, Spaces, pairs, stream

VOCABULARY = Vocabulary.from_tokens(WORDS)
PLAIN = MODEL.model_copy(update={"dropout": 0.0, "attention_dropout": 0.0})


class Silent:
    def trained(self, step: int, learning_rate: float, sums: Sums) -> None: ...

    def validated(self, step: int, sums: Sums) -> None: ...

    def checkpoint(self, training: Training) -> None: ...

    def has_ended(self) -> bool:
        return False


def new_network() -> Transformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_transformer(PLAIN, VOCABULARY, VOCABULARY, "cpu")


def two_batches() -> list[Batch]:
    source = BatchSource(stream("reference", pairs(40)), Spaces(), VOCABULARY, VOCABULARY, 60, 50, 50, 1)
    found = sorted(source.batches(Position(), epochs=1), key=lambda batch: batch.target_tokens)
    return [found[0], found[-1]]


def config(**changes: object) -> OptimiserConfig:
    return OptimiserConfig(**({"steps": 1, "precision": "float32", "validate_every": 0} | changes))


def mean_loss(network: Transformer, batches: list[Batch]) -> Tensor:
    """Cross-entropy a target token, row by row."""
    total, tokens = torch.zeros(()), 0
    for batch in batches:
        for src, tgt, length in zip(batch.src, batch.tgt, batch.srclen, strict=True):
            target = torch.from_numpy(tgt[tgt != 1]).long()
            source = torch.from_numpy(src[:length]).long()[None, :, None]
            hidden, _ = network.module(source, target[None, :, None], torch.tensor([length]))
            logits = network.module.generator(hidden[0])
            total = total + torch.nn.functional.cross_entropy(logits, target[1:], reduction="sum")
            tokens += len(target) - 1
    return total / tokens


def test_the_gradient_of_a_step_is_that_of_the_mean_over_tokens() -> None:
    batches = two_batches()
    assert batches[0].target_tokens < batches[1].target_tokens / 2
    network = new_network()
    parameters = list(network.module.parameters())
    expected = torch.autograd.grad(mean_loss(network, batches), parameters)

    training = Training(network, config(accumulate=2), one_phase([], 0.0), "cpu", Silent())
    training.train(iter([to_torch(batch, None, "cpu") for batch in batches]), None)

    assert training.step == 1
    for parameter, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


def test_a_batch_too_large_for_the_device_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    network = new_network()
    training = Training(network, config(), one_phase([], 0.0), "cpu", Silent())
    before = [parameter.detach().clone() for parameter in network.module.parameters()]

    def too_large(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(network.module.encoder, "forward", too_large)
    with pytest.raises(PotstillError, match=r"step 1: .* lower optimiser\.batch_tokens"):
        training.train(iter([to_torch(two_batches()[0], None, "cpu")]), None)
    assert training.step == 0
    assert all(map(torch.equal, before, network.module.parameters()))


def test_a_resumed_average_is_where_the_parameters_are(monkeypatch: pytest.MonkeyPatch) -> None:
    network = new_network()
    training = Training(network, config(average_decay=0.4), one_phase([], 0.0), "cpu", Silent())
    training.train(iter([to_torch(two_batches()[0], None, "cpu")]), None)
    state = training.state()
    assert {value.device.type for value in state["average"]} == {"cpu"}
    elsewhere = [parameter.to("meta") for parameter in network.module.parameters()]  # stands for a GPU
    monkeypatch.setattr(network.module, "parameters", lambda: iter(elsewhere))
    training.load_state(state)
    assert {value.device.type for value in training.average or []} == {"meta"}


def test_the_average_follows_the_weights() -> None:
    network = new_network()
    training = Training(network, config(steps=3, average_decay=0.4), one_phase([], 0.0), "cpu", Silent())
    batch = to_torch(two_batches()[1], None, "cpu")
    seen: list[list[Tensor]] = []

    def spying() -> object:
        for _ in range(3):
            yield batch
            seen.append([parameter.detach().clone() for parameter in network.module.parameters()])

    training.train(spying(), None)
    seen.append([parameter.detach() for parameter in network.module.parameters()])
    # OpenNMT-py's rule: the newest weights count max(decay, 9 / (step + 10)), from the second step on.
    first, second, third = seen[0], seen[1], seen[2]
    for index, average in enumerate(training.average or []):
        after_two = first[index] + (second[index] - first[index]) * max(0.4, 9 / 12)
        wanted = after_two + (third[index] - after_two) * max(0.4, 9 / 13)
        torch.testing.assert_close(average, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("noam", lambda step: 0.5 * 16**-0.5 * min(step**-0.5, step * 10**-1.5)),
        ("rsqrt", lambda step: 0.5 / math.sqrt(max(step, 10))),
        ("constant", lambda step: 0.5),
    ],
)
def test_schedules(schedule: str, expected: object) -> None:
    optimiser = build_optimiser(new_network(), config(schedule=schedule, learning_rate=0.5, warmup_steps=10))
    for step in range(1, 40):
        assert optimiser.learning_rate() == pytest.approx(expected(step))
        optimiser.step()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({"avx512_bf16": False, "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_precision_follows_the_hardware_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert use_bfloat16("auto", "cpu") is expected
    assert use_bfloat16("bfloat16", "cpu") is True
    assert use_bfloat16("float32", "cpu") is False


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_only_emulates_bfloat16_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or native

    monkeypatch.setattr("torch.cuda.is_bf16_supported", supported)
    assert use_bfloat16("auto", "cuda") is native


def test_bfloat16_is_close_to_float32() -> None:
    batch = to_torch(two_batches()[1], None, "cpu")
    sums = []
    for precision in ("float32", "bfloat16"):
        network = new_network()
        training = Training(network, config(precision=precision), one_phase([], 0.0), "cpu", Silent())
        training.train(iter([batch]), None)
        assert training.precision == precision
        sums.append(torch.cat([parameter.grad.flatten() for parameter in network.module.parameters()]))
    assert float((sums[0] - sums[1]).norm() / sums[0].norm()) < 0.05


def test_no_mask_waits_for_the_device() -> None:
    """On a GPU every number that Python asks for waits for all work before it; on a CPU such an ask can be counted."""
    from torch.profiler import ProfilerActivity, profile

    batch, network = to_torch(two_batches()[1], None, "cpu"), new_network()

    def asked(lengths: Tensor) -> tuple[int, Tensor]:
        with profile(activities=[ProfilerActivity.CPU]) as profiler, torch.no_grad():
            output, _ = network.module(batch["src"], batch["tgt"], lengths)
        return sum(event.count for event in profiler.key_averages() if event.key == "aten::_local_scalar_dense"), output

    untold, wanted = asked(batch["srclen"].clone())
    told, found = asked(batch["srclen"])
    assert untold > told == 0
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
