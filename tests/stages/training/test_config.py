"""Options of a training that do not go together."""

from typing import Any

import pytest
from pydantic import ValidationError

from stages.training.config import OptimiserConfig


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
