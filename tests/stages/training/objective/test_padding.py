"""Padding changes neither loss nor gradient: a batch of rows costs what its rows cost one by one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.training.batches.batches import Batch, Position
from stages.training.config import OptimiserConfig
from stages.training.loop import Training
from stages.training.model import Transformer, build_transformer
from stages.training.objective.config import ObjectiveConfig, SoftTargetTerm
from stages.training.objective.phases import Course, Phase
from stages.training.online.positions import target_mask
from stages.training.step_loss import DistillationLoss
from stages.training.tensors import to_torch
from stages.training.vocabulary import Vocabulary
from tests.stages.training.test_loop import Silent
from tests.stages.training.toy import MODEL, WORDS

K = 3
ROWS = (([4, 5, 6], [7, 3]), ([8], [9, 10, 11, 12, 3]), ([5, 9, 4, 4, 7, 6], [3]))
TERM = SoftTargetTerm(weight=0.5, temperature=2.0, missing_mass="ghost")
COURSE = Course([Phase(0, ObjectiveConfig(cross_entropy=1.0, soft_targets=TERM), {})], label_smoothing=0.1)


@pytest.fixture(scope="module")
def network() -> Transformer:
    vocabulary = Vocabulary.from_tokens(WORDS)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_transformer(MODEL, vocabulary, vocabulary, "cpu")
    model.module.eval()
    return model


def batch_of(numbers: Sequence[int], wider: int = 0) -> Batch:
    """These rows, padded to the longest, targets `wider` more (OpenNMT-py wants sources as long as the longest)."""
    sources, targets = zip(*(ROWS[number] for number in numbers), strict=True)
    random = [np.random.default_rng(number) for number in numbers]
    log_probs = [
        np.log(each.dirichlet(np.ones(K + 1), len(target))) for each, target in zip(random, targets, strict=True)
    ]
    return Batch(
        stream="hypothesis",
        src=padded(sources),
        tgt=padded([[2, *target] for target in targets], wider),
        srclen=np.array([len(source) for source in sources]),
        soft={
            "kd_ids": np.concatenate([[[4, 6, 3]] * len(target) for target in targets]),
            "kd_log_probs": np.concatenate(log_probs)[:, :K].astype(np.float32),
            "kd_tail": np.concatenate(log_probs)[:, K].astype(np.float32),
            "kd_tail_2": np.concatenate(log_probs)[:, 0].astype(np.float32),
        },
        tgtlen=np.array([len(target) for target in targets]),
        following=Position(),
    )


def padded(rows: Sequence[Sequence[int]], wider: int = 0) -> np.ndarray:
    longest = max(map(len, rows)) + wider
    return np.array([[*row, *[1] * (longest - len(row))] for row in rows], dtype=np.int32)


def loss_and_gradients(network: Transformer, batch: Batch, course: Course = COURSE) -> tuple[Tensor, list[Tensor]]:
    ready = to_torch(batch, None, "cpu")
    hidden, _ = network.module(ready["src"], ready["tgt"], ready["srclen"])
    loss, _ = DistillationLoss(network.module.generator, course, torch.float32)(ready, hidden, {})
    return loss, list(torch.autograd.grad(loss, list(network.module.parameters())))


def test_a_batch_costs_what_its_rows_cost(network: Transformer) -> None:
    loss, gradients = loss_and_gradients(network, batch_of([0, 1, 2]))
    single = [loss_and_gradients(network, batch_of([number])) for number in range(3)]

    torch.testing.assert_close(loss, sum(value for value, _ in single), rtol=1e-5, atol=1e-5)
    for found, *wanted in zip(gradients, *(each for _, each in single), strict=True):
        torch.testing.assert_close(found, sum(wanted), rtol=1e-4, atol=1e-5)


def test_more_padding_costs_nothing(network: Transformer) -> None:
    loss, gradients = loss_and_gradients(network, batch_of([0, 1, 2]))
    wider, others = loss_and_gradients(network, batch_of([0, 1, 2], wider=4))

    torch.testing.assert_close(wider, loss, rtol=1e-5, atol=1e-5)
    for found, wanted in zip(others, gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_batch_without_soft_targets_counts_with_0_in_their_mean() -> None:
    vocabulary = Vocabulary.from_tokens(WORDS)
    still = MODEL.model_copy(update={"dropout": 0.0, "attention_dropout": 0.0})
    network = build_transformer(still, vocabulary, vocabulary, "cpu")
    batches = [batch_of([0, 2]), replace(batch_of([1]), soft={})]
    parts = [loss_and_gradients(network, batch) for batch in batches]
    loss = DistillationLoss(network.module.generator, COURSE, torch.float32)
    for batch in (to_torch(each, None, "cpu") for each in batches):
        loss(batch, network.module(batch["src"], batch["tgt"], batch["srclen"])[0], {})
    sums = loss.take()
    assert (sums["loss"].positions, sums["divergence"].positions) == (8, 3)

    optimiser = OptimiserConfig(steps=1, accumulate=2, precision="float32", validate_every=0)
    training = Training(network, optimiser, COURSE, "cpu", Silent())
    training.train(iter([to_torch(batch, None, "cpu") for batch in batches]), None)
    for parameter, *wanted in zip(network.module.parameters(), *(each for _, each in parts), strict=True):
        torch.testing.assert_close(parameter.grad, sum(wanted) / 8, rtol=1e-4, atol=1e-6)


def test_what_is_learned_is_told_by_the_lengths() -> None:
    # Nothing that the ids say: 1 is padding's, and a batch may hold it inside of a target.
    batch = batch_of([0, 1])
    inside = batch.tgt.copy()
    inside[1, 2] = 1
    ready = to_torch(replace(batch, tgt=inside), None, "cpu")
    assert ready["targets"].tolist() == [7, 3, 9, 1, 11, 12, 3]
    assert target_mask(ready).sum(1).tolist() == [2, 5]
    assert len(ready["kd_tail"]) == len(ready["targets"])


def drawn(batch: Batch) -> dict[str, np.ndarray]:
    counts = np.random.default_rng(4).multinomial(8, [0.5, 0.3, 0.2], batch.target_tokens)
    ids = np.tile([4, 6, 3], (batch.target_tokens, 1))
    return {"kd_ids": ids, "kd_counts": counts, "kd_entropy": np.ones(batch.target_tokens, np.float16)}


@pytest.mark.parametrize("kind", ["hardest", "sampled"])
def test_more_padding_costs_nothing_where_positions_are_picked_or_drawn(network: Transformer, kind: str) -> None:
    term = SoftTargetTerm(temperature=1.0 if kind == "sampled" else 2.0, hardest=0.5 if kind == "hardest" else 1.0)
    course = Course([Phase(0, ObjectiveConfig(soft_targets=term), {})], label_smoothing=0.1)
    found = []
    for wider in (0, 4):
        batch = batch_of([0, 1, 2], wider)
        soft = drawn(batch) if kind == "sampled" else batch.soft
        found.append(loss_and_gradients(network, replace(batch, soft=soft), course))
    (loss, gradients), (wider_loss, others) = found
    torch.testing.assert_close(wider_loss, loss, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_sums_are_taken_once(network: Transformer) -> None:
    loss = DistillationLoss(network.module.generator, COURSE, torch.float32)
    ready = to_torch(batch_of([0, 1]), None, "cpu")
    hidden, _ = network.module(ready["src"], ready["tgt"], ready["srclen"])
    first, _ = loss(ready, hidden, {})
    loss(ready, hidden, {})
    total, positions = loss.take()["loss"]
    assert positions == 14
    torch.testing.assert_close(total, 2 * first.detach())
    assert loss.take() == {}
