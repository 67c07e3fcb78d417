"""More steps on a finished training against as many at once, and weights that are taken for another."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import ModelError
from stages.training import checkpoint
from stages.training.api import Extras
from stages.training.earlier import Earlier
from stages.training.vocabulary import Vocabulary
from tests.stages.training.test_api import StopError, stop_at
from tests.stages.training.toy import MODEL, OPTIMISER, WORDS, train


def optimiser(steps: int, **changes: Any) -> Any:
    return OPTIMISER.model_copy(update={"steps": steps, "checkpoint_every": 5} | changes)


def going_on(folder: Path) -> Extras:
    return Extras(earlier=Earlier(folder / "checkpoint.pt", folder / "state.pt", "float32"))


def test_more_steps_are_those_of_a_longer_training(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", optimiser=optimiser(24))
    train(tmp_path / "first", optimiser=optimiser(12))
    more = train(tmp_path / "more", optimiser=optimiser(24), extras=going_on(tmp_path / "first"))
    assert more | {"timing": 0} == whole | {"timing": 0}
    for name in ("checkpoint.pt", "state.pt", "training.jsonl"):
        assert (tmp_path / "more" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("step", [14, 20])
def test_it_goes_on_after_a_kill_too(tmp_path: Path, step: int) -> None:
    train(tmp_path / "whole", optimiser=optimiser(24, report_every=2))
    train(tmp_path / "first", optimiser=optimiser(12, report_every=2))
    given = {"optimiser": optimiser(24, report_every=2), "extras": going_on(tmp_path / "first")}
    with pytest.raises(StopError):
        train(tmp_path / "more", progress=stop_at(step), **given)
    train(tmp_path / "more", **given)
    for name in ("checkpoint.pt", "training.jsonl"):
        assert (tmp_path / "more" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_weights_alone_are_where_another_training_begins(tmp_path: Path) -> None:
    train(tmp_path / "first", optimiser=optimiser(12))
    extras = Extras(earlier=Earlier(tmp_path / "first/checkpoint.pt"))
    metrics = train(tmp_path / "other", optimiser=optimiser(1, learning_rate=1e-30, average_decay=0.0), extras=extras)
    assert metrics["steps"] == 1
    first, other = (checkpoint.load_model(tmp_path / name / "checkpoint.pt", "cpu") for name in ("first", "other"))
    for mine, theirs in zip(other.module.parameters(), first.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-20)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model": MODEL.model_copy(update={"width": 32})}, r"is \[16\] there and \[32\] here"),
        ({"model": MODEL.model_copy(update={"encoder_layers": 2})}, "weights are in one of them only, such as encoder"),
        (
            {"target_vocabulary": Vocabulary.from_tokens([*WORDS, "b"])},
            "target vocabulary has 16 tokens and this one 17",
        ),
        ({"source_vocabulary": Vocabulary.from_tokens(WORDS[::-1])}, "differ first in 'a11' here and 'a0' there"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    train(tmp_path / "first", optimiser=optimiser(4))
    with pytest.raises(ModelError, match=fault):
        train(tmp_path / "other", extras=Extras(earlier=Earlier(tmp_path / "first/checkpoint.pt")), **changes)


def test_fewer_steps_than_it_had_are_refused(tmp_path: Path) -> None:
    train(tmp_path / "first", optimiser=optimiser(12))
    with pytest.raises(ModelError, match=r"state\.pt has had 12 steps, and optimiser\.steps is 8: raise it"):
        train(tmp_path / "more", optimiser=optimiser(8), extras=going_on(tmp_path / "first"))


def test_a_state_is_left_unless_it_is_not_wanted(tmp_path: Path) -> None:
    train(tmp_path, optimiser=optimiser(4, keep_state=False))
    assert not (tmp_path / "state.pt").exists()
    assert json.loads((tmp_path / ".metrics.json").read_text())["steps"] == 4
