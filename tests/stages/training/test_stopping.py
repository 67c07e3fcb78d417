"""Which pairs are distilled, on curves made by hand; what that does to the loss; and that a kill changes nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from stages.training import checkpoint
from stages.training.batches.batches import Batch, Stream
from stages.training.objective.config import ObjectiveConfig, SoftTargetTerm
from stages.training.objective.online_config import FeatureTerm
from stages.training.objective.phases import Course, Phase
from stages.training.step_loss import DistillationLoss
from stages.training.stopping import PairSwitch
from stages.training.tensors import to_torch
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import OPTIMISER, WORDS, pairs, stream, train, training_data

TEACHER = {"en-de": 2.0, "en-sv": 3.0}
STREAM = "hypothesis/en-de"
COURSE = [ObjectiveConfig(cross_entropy=0.3, soft_targets=SoftTargetTerm(weight=0.7))]


def test_a_pair_stops_when_the_student_passes_and_starts_when_it_falls_behind() -> None:
    switch = PairSwitch(TEACHER, margin=0.1)
    curve = {"en-de": [2.5, 2.0, 1.91, 1.89, 1.7, 1.95], "en-sv": [3.5, 3.4, 3.3, 3.1, 2.8, 2.8]}
    seen = []
    for step in range(6):
        switch.validated({f"valid/{pair}": values[step] for pair, values in curve.items()})
        seen.append((switch.distils("hypothesis/en-de"), switch.distils("hypothesis/en-sv")))
    assert seen == [(True, True), (True, True), (True, True), (False, True), (False, False), (True, False)]


def test_before_a_validation_and_without_a_teacher_all_is_distilled() -> None:
    assert PairSwitch(TEACHER).distils(STREAM)
    alone = PairSwitch({"en-sv": 1.0})
    alone.validated({"valid/en-de": 0.1, "valid/en-sv": 2.0})
    assert alone.distils(STREAM)
    assert alone.told() == {"valid_cross_entropy_en-de": 0.1, "valid_cross_entropy_en-sv": 2.0, "distils_en-sv": 1.0}


def test_a_stream_without_soft_targets_is_never_distilled() -> None:
    switch = PairSwitch(TEACHER, untaught=["hypothesis/en-sv"])
    assert (switch.distils("hypothesis/en-de"), switch.distils("hypothesis/en-sv")) == (True, False)
    assert switch.distils("reference/en-sv"), "another stream of the pair is none of its business"
    switch.validated({"valid/en-de": 2.5, "valid/en-sv": 3.5})
    assert [key for key in switch.told() if key.startswith("distils")] == ["distils_en-de"]


def test_its_state_is_all_there_is() -> None:
    first, second = PairSwitch(TEACHER), PairSwitch(TEACHER)
    first.validated({"valid/en-de": 1.0, "valid/en-sv": 5.0})
    second.load_state(json.loads(json.dumps(first.state())))
    assert (second.stopped(), second.told()) == (first.stopped(), first.told())


def losses(stopped: bool, cross_entropy: float, online: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of a batch under an output layer of 6 words, and the cross-entropy by the book."""
    torch.manual_seed(1)
    output = torch.randn(2, 3, 4, dtype=torch.float64)
    layer = torch.nn.Linear(4, 6, dtype=torch.float64)
    switch = PairSwitch({"en-de": 2.0})
    switch.validated({"valid/en-de": 1.0 if stopped else 3.0})
    features = () if online is None else (FeatureTerm(),)
    objective = ObjectiveConfig(cross_entropy=cross_entropy, soft_targets=SoftTargetTerm(weight=0.7), features=features)
    course = Course([Phase(0, objective, {STREAM: 1.0})])
    distillation = DistillationLoss(layer, course, torch.float64, online, switch)
    tensors = to_torch(batch(), None, "cpu")
    distillation.begin(1, [tensors])
    loss, _ = distillation(tensors, output, None)
    targets = torch.tensor([4, 5, 3, 4, 3])
    rows = torch.tensor([0, 1, 2, 3, 4])
    logits = layer(output.reshape(-1, 4)[rows])
    return loss, torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def batch() -> Batch:
    """Targets 4 5 3 and 4 3, the last position padding; the teacher is sure of id 5 everywhere."""
    soft: dict[str, Any] = {
        "kd_ids": np.full((5, 1), 5, dtype=np.int32),
        "kd_log_probs": np.full((5, 1), np.log(0.9), dtype=np.float32),
        "kd_tail": np.full(5, np.log(0.1), dtype=np.float32),
    }
    target = np.array([[2, 4, 5, 3], [2, 4, 3, 1]], dtype=np.int32)
    source, lengths = np.array([[4, 5], [4, 1]], dtype=np.int32), np.array([2, 1])
    from stages.training.batches.batches import Position

    return Batch(STREAM, source, target, lengths, np.array([3, 2]), soft, Position())


@pytest.mark.parametrize(("weight", "expected"), [(0.3, 1.0), (2.0, 2.0)])
def test_a_stopped_pair_learns_by_cross_entropy_alone_at_least_in_full(weight: float, expected: float) -> None:
    loss, cross_entropy = losses(stopped=True, cross_entropy=weight)
    torch.testing.assert_close(loss, expected * cross_entropy)


def test_a_pair_that_goes_on_has_both_terms() -> None:
    loss, cross_entropy = losses(stopped=False, cross_entropy=0.3)
    assert abs(float(loss.detach()) - 0.3 * float(cross_entropy.detach())) > 0.1


class Beside:
    """Online terms of which one is 10 a position, whatever is compared."""

    def begin(self, objective: ObjectiveConfig, step: int) -> None: ...

    def terms(self, batch: Any, objective: ObjectiveConfig, step: int) -> dict[str, torch.Tensor]:
        return {"features_encoder": torch.tensor(10.0, dtype=torch.float64)}


def test_a_stopped_pair_has_no_online_terms() -> None:
    loss, cross_entropy = losses(stopped=True, cross_entropy=0.3, online=Beside())
    torch.testing.assert_close(loss, cross_entropy)
    without, _ = losses(stopped=False, cross_entropy=0.3)
    with_them, _ = losses(stopped=False, cross_entropy=0.3, online=Beside())
    torch.testing.assert_close(with_them - without, torch.tensor(10.0 * 5, dtype=torch.float64))


class StopError(Exception):
    """Raised at a step, as a kill would end it."""


class SureTeacher:
    """Soft targets of the toy's vocabulary: 0.9 on the word a0, wherever it stands."""

    def read(self, table: pa.Table) -> dict[str, Any]:
        positions = sum(len(text.split()) + 1 for text in table["reference"].to_pylist())
        return {
            "kd_ids": np.full((positions, 1), 4, dtype=np.int32),
            "kd_log_probs": np.full((positions, 1), np.log(0.9), dtype=np.float32),
            "kd_tail": np.full(positions, np.log(0.1), dtype=np.float32),
        }


def data() -> Any:
    def part(name: str, seed: int) -> Stream:
        return replace(stream(name, pairs(40, seed)), soft_targets=SureTeacher())

    valid = [stream("valid/en-de", pairs(15, 5)), stream("valid/en-sv", pairs(15, 6))]
    return training_data(streams=[part(STREAM, 1), part("hypothesis/en-sv", 2)], valid=valid)


def trained(folder: Path, teacher: dict[str, float], **changes: Any) -> list[dict[str, float]]:
    from stages.training.api import Extras

    phases = [Phase(0, COURSE[0], {STREAM: 1.0, "hypothesis/en-sv": 1.0})]
    optimiser = OPTIMISER.model_copy(update={"validate_every": 3, "checkpoint_every": 4})
    train(folder, data=data(), phases=phases, extras=Extras(switch=PairSwitch(teacher)), optimiser=optimiser, **changes)
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def weights(folder: Path) -> list[torch.Tensor]:
    return list(checkpoint.load_model(folder / "checkpoint.pt", "cpu").module.parameters())


def same(first: Path, second: Path) -> bool:
    return all(torch.equal(one, other) for one, other in zip(weights(first), weights(second), strict=True))


def stop_at(step: int) -> Any:
    def progress(done: int, total: int | None, extras: Any) -> None:
        if done == step:
            raise StopError

    return progress


# A teacher that any student has passed at the first validation, and one that none ever passes.
WORSE, BETTER = {"en-de": 1000.0}, {"en-de": 0.0}


def test_the_switch_is_told_in_the_curves_and_changes_what_is_learned(tmp_path: Path) -> None:
    lines = trained(tmp_path / "stopped", WORSE)
    trained(tmp_path / "distilled", BETTER)
    told = [(line["step"], line["distils_en-de"]) for line in lines if "distils_en-de" in line]
    assert told == [(3, 0.0), (6, 0.0), (9, 0.0), (12, 0.0)]
    assert "valid_cross_entropy_en-sv" in lines[-1] and "distils_en-sv" not in lines[-1]
    assert not same(tmp_path / "stopped", tmp_path / "distilled")


def test_a_kill_after_the_switch_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", WORSE)
    # The state of step 4 knows what was decided at step 3; the next validation is at step 6.
    with pytest.raises(StopError):
        trained(tmp_path / "broken", WORSE, progress=stop_at(8))
    assert trained(tmp_path / "broken", WORSE) == whole
    assert same(tmp_path / "whole", tmp_path / "broken")


def test_the_words_are_where_the_teacher_says() -> None:
    assert Vocabulary.from_tokens(WORDS).tokens[4] == "a0"
