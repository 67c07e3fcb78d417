"""Both trainers see the same text, their speeds are read as they were told, and memory is what torch allocates."""

from functools import partial
from pathlib import Path

import pytest
import torch

from bench import fixtures, train
from bench.loss_memory import Problem, peak_bytes
from bench.made_up_targets import made_up_dataset
from bench.trainers import Trainings, speed_of_log, write_stock_options
from data.soft_targets import flat
from stages.training.config import ModelConfig

SMALL = ModelConfig(encoder_layers=1, decoder_layers=1, width=16, heads=2, feed_forward=32, tie_output=False)
SIZE = train.Size(reports=3, report_every=2, rounds=1, positions=300, vocabulary=8000)
LOG = """
[2026-11-21 09:00:00,000 INFO] Step 10/   30; acc: 1.0; ppl: 9.0; xent: 2.2; lr: 0.00010; \
sents:     900; bsz:  990/1000/90; 1000/1010 tok/s;     10 sec;
[2026-11-21 09:00:10,000 INFO] Step 20/   30; acc: 1.0; ppl: 9.0; xent: 2.2; lr: 0.00010; \
sents:     900; bsz:  990/1000/90; 2000/2000 tok/s;     15 sec;
[2026-11-21 09:00:20,000 INFO] Step 30/   30; acc: 1.0; ppl: 9.0; xent: 2.2; lr: 0.00010; \
sents:     900; bsz:  990/ 800/90; 2000/4000 tok/s;     17 sec;
"""


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    folder = tmp_path_factory.mktemp("train")
    base = fixtures.transformer_base(folder / "base", rows=60, target_length=6, model=SMALL, vocabulary=300)
    inputs = {**base.artifacts, "dataset": made_up_dataset(base.artifacts, folder, 4)}
    return Trainings(inputs, 1, folder)


def test_the_peers_speed_is_read_from_all_reports_but_the_first() -> None:
    speed = speed_of_log(LOG)
    assert (speed.tokens, speed.steps, speed.seconds) == (18_000, 20, 5.0 + 2.0)


def test_the_peer_trains_on_the_same_text(trainings: Trainings, tmp_path: Path) -> None:
    write_stock_options(trainings, train.configured(SIZE, data="reference"), tmp_path)
    table = trainings.inputs["corpus"].read_shard("train-00000")
    for name, column in (("source", "source"), ("target", "reference")):
        assert (tmp_path / f"{name}.txt").read_text().splitlines() == table[column].to_pylist()


def test_made_up_soft_targets_are_distributions_over_distinct_entries(trainings: Trainings) -> None:
    table = trainings.inputs["dataset"].read_shard("train-00000")
    ids, log_probs, tail = (flat(table, name) for name in ("topk_ids", "topk_log_probs", "tail_log_mass"))
    assert ids.shape == (7 * 60, 4)
    assert all(len(set(row)) == 4 for row in ids.tolist())
    mass = torch.from_numpy(log_probs).double().exp().sum(1) + torch.from_numpy(tail).double().exp()
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-3)


def test_soft_targets_cost_is_measured_over_the_same_batches(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "MODEL", SMALL.model_dump())
    cost, speed = train.compare_soft_targets(trainings, SIZE)
    assert (cost.name, speed.name) == ("kd_step_cost_k16", "train_tokens_per_second_k16")
    assert set(cost.detail["tokens_per_step"]) == {"without", "ghost", "renormalise"}
    assert len(set(cost.detail["tokens_per_step"].values())) == 1


@pytest.mark.slow
def test_stock_onmt_train_runs_beside_ours(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyonmttok", reason="pyonmttok has no wheels beyond Python 3.12")
    monkeypatch.setattr(train, "MODEL", SMALL.model_dump())
    # The peer fills its bucket before the first step, from these few lines over and over.
    monkeypatch.setattr(train, "OPTIMISER", train.OPTIMISER | {"batch_tokens": 128, "shuffle_rows": 500})
    ratio, speed = train.compare_with_stock(trainings, SIZE)
    rates = ratio.detail["tokens_per_second"]
    faster = max(rates["onmt_train"][0], rates["onmt_train, no loaders"][0])
    assert ratio.value == pytest.approx(rates["ours"][0] / faster, rel=0.01)
    assert speed.value == pytest.approx(rates["ours"][0], rel=0.01)


def test_peak_memory_is_what_was_held_at_one_time() -> None:
    def work() -> None:
        first = torch.ones(1000, 1000)
        second = first * 2
        del first
        third = second + 1
        del second, third

    assert peak_bytes(work) == pytest.approx(8_000_000, rel=0.01)


def test_both_losses_are_one_loss() -> None:
    problem = Problem(40, 8, 50, 4)
    losses = problem.losses()
    torch.testing.assert_close(losses["ours"](), losses["plain"]())
    for found, wanted in zip(*(problem.gradients(call) for call in losses.values()), strict=True):
        torch.testing.assert_close(found, wanted)


def test_chunks_take_less_than_all_positions() -> None:
    problem = Problem(4000, 8, 8000, 4)
    peaks = {name: peak_bytes(partial(problem.gradients, call)) for name, call in problem.losses().items()}
    # Logits and their gradient at least, in float32.
    assert peaks["plain"] > 2 * 4000 * 8000 * 4
    assert peaks["ours"] < 0.6 * peaks["plain"]
