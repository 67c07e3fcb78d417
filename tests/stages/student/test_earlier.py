"""A student trained further: what its recipe must say, and where its fingerprint comes from."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.artifact import Artifact
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.student import stage as student
from stages.student.stage import Config
from tests.fixtures.artifacts import new_artifact
from tests.stages.student.test_student import SMALL, artifacts, dataset_table


def trained(store: Path, inputs: dict[str, Artifact], fingerprint: str, **options: Any) -> Artifact:
    """A complete student, as a run would leave it."""
    config = Config.model_validate(SMALL | options)
    output = new_artifact(store, "student", fingerprint=fingerprint)
    metrics = student.run(inputs, config, output, Runtime())
    told = {"stage": "student", "version": "6", "inputs": {}, "libraries": {}}
    output.complete(config=config.model_dump(mode="json"), metrics=metrics, **told)
    return output


def longer(steps: int) -> dict[str, Any]:
    return {"optimiser": SMALL["optimiser"] | {"steps": steps}}


def test_more_steps_give_the_longer_training_and_tell_where_they_came_from(tmp_path: Path, tiny_teacher: Path) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(read_vocabulary(tiny_teacher, "target")))
    first = trained(tmp_path, inputs, "1" * 20)
    earlier = {"path": str(first.path()), "take": "all"}
    assert student.faults(Config.model_validate(SMALL | longer(12) | {"earlier": earlier})) == []
    more = trained(tmp_path, inputs, "2" * 20, earlier=earlier, **longer(12))
    whole = trained(tmp_path, inputs, "3" * 20, **longer(12))
    for name in ("checkpoint.pt", "state.pt"):
        assert (more.path() / name).read_bytes() == (whole.path() / name).read_bytes()
    assert more.manifest().metrics["lineage"] == ["1" * 20]
    last = trained(tmp_path, inputs, "4" * 20, earlier={"path": str(more.path())})
    assert last.manifest().metrics["lineage"] == ["2" * 20, "1" * 20]
    assert last.manifest().metrics["steps"] == 6


def test_the_identity_is_that_of_the_student_and_not_of_the_hour(tmp_path: Path, tiny_teacher: Path) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(read_vocabulary(tiny_teacher, "target")))
    found = []
    for store in ("one", "two"):
        made = trained(tmp_path / store, inputs, "1" * 20)
        config = Config.model_validate(SMALL | {"earlier": {"path": str(made.path())}})
        found += student.external_identities(config).values()
    other = trained(tmp_path / "other", inputs, "1" * 20, **longer(7))
    config = Config.model_validate(SMALL | {"earlier": {"path": str(other.path())}})
    assert found[0] == found[1] not in student.external_identities(config).values()
    assert student.external_identities(Config.model_validate(SMALL)) == {}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (longer(6) | {"earlier": {"take": "all"}}, "optimiser.steps is 6, and .* has had 6 of them; raise it"),
        (
            {"model": SMALL["model"] | {"width": 32}, "earlier": {}},
            "model.width is 32, and that of .* 16; set it to 16",
        ),
        ({"model": SMALL["model"] | {"decoder_layers": 2}, "earlier": {}}, "model.decoder_layers is 2, and that of"),
        ({"earlier": {"path": "nowhere"}}, r"nowhere holds no manifest\.json; expected the folder of a student"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(
    tmp_path: Path, tiny_teacher: Path, options: dict[str, Any], fault: str
) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(read_vocabulary(tiny_teacher, "target")))
    made = trained(tmp_path, inputs, "1" * 20)
    section = SMALL | options | {"earlier": {"path": str(made.path())} | options["earlier"]}
    (line,) = student.faults(Config.model_validate(section))
    assert line.startswith("student.earlier")
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(line)


def test_a_dataset_or_a_student_without_its_state_is_no_beginning(tmp_path: Path, tiny_teacher: Path) -> None:
    inputs = artifacts(tmp_path, tiny_teacher, dataset_table(read_vocabulary(tiny_teacher, "target")))
    dataset = Config.model_validate(SMALL | {"earlier": {"path": inputs["corpus"].url}})
    assert "was made by the stage corpus" in student.faults(dataset)[0]
    stateless = trained(tmp_path, inputs, "1" * 20, optimiser=SMALL["optimiser"] | {"keep_state": False})
    config = Config.model_validate(SMALL | longer(9) | {"earlier": {"path": str(stateless.path()), "take": "all"}})
    assert "holds no state.pt" in student.faults(config)[0]


def test_there_is_one_beginning() -> None:
    with pytest.raises(ValidationError, match="set one of them"):
        Config.model_validate({"start": {}, "earlier": {"path": "a"}})
