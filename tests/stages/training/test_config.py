"""Options of a training that do not go together, or are no numbers."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from stages.student import stage as student
from stages.student.further_config import DatasetConfig
from stages.student.nbest import NBestConfig
from stages.training.config import OptimiserConfig
from stages.training.languages_config import StopConfig


@pytest.mark.parametrize(
    ("schedule", "usual"),
    [("rsqrt", r"usual is 0\.02, which begins at a rate of 0\.001 without a rise"), ("constant", r"0\.0001 to 0\.001")],
)
def test_the_default_rate_is_for_noam_alone(schedule: str, usual: str) -> None:
    given: dict[str, Any] = {"schedule": schedule, "warmup_steps": 400}
    with pytest.raises(ValidationError, match=f"learning_rate: required with schedule = '{schedule}', .*{usual}"):
        OptimiserConfig.model_validate(given)
    assert OptimiserConfig.model_validate(given | {"learning_rate": 0.4}).learning_rate == 0.4
    assert OptimiserConfig.model_validate({"schedule": "noam"}).learning_rate == 0.4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("model", "place"),
    [
        (student.Config, ("objective", "cross_entropy")),
        (student.Config, ("objective", "soft_targets", "weight")),
        (student.Config, ("objective", "soft_targets", "temperature")),
        (student.Config, ("objective", "soft_targets", "hardest")),
        (student.Config, ("data", "reference")),
        (OptimiserConfig, ("learning_rate",)),
        (OptimiserConfig, ("max_grad_norm",)),
        (NBestConfig, ("temperature",)),
        (StopConfig, ("margin",)),
        (DatasetConfig, ("ratio",)),
    ],
)
def test_a_number_is_finite(model: type[BaseModel], place: tuple[str, ...], value: float) -> None:
    given: dict[str, Any] = {"name": "a", "path": "b"} if model is DatasetConfig else {}
    inner = given
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    model.model_validate(given | {"data": {"reference": 1.0}} if place[0] == "data" else given)
    inner[place[-1]] = value
    with pytest.raises(ValidationError, match="finite number"):
        model.model_validate(given)


@pytest.mark.parametrize("section", ["features", "attention", "relations", "sentences", "contrastive"])
def test_so_is_a_weight_of_a_term_and_both_ends_of_a_schedule(section: str) -> None:
    for weight in (float("nan"), {"start": 1.0, "end": float("inf"), "until": 9}):
        with pytest.raises(ValidationError, match="finite number"):
            student.Config.model_validate({"objective": {section: [{"weight": weight}]}})
