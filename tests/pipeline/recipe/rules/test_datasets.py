"""Further datasets that do not hold what the recipe asks of them, told when it is read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.recipe.cross_faults import cross_faults
from stages.corpus import stage as corpus
from stages.student import stage as student
from tests.fixtures.artifacts import closed, new_artifact
from tests.stages.student.test_soft import drawn_dataset, tempered_dataset
from tests.stages.student.test_student import dataset_table

WORDS = [f"a{number}" for number in range(36)]
SPECIALS = ["<unk>", "<s>", "</s>"]


def folder(root: Path, table: Any, pairs: tuple[tuple[str, str], ...] = (("en", "de"),)) -> str:
    made = new_artifact(root, "dataset")
    made.write_shard("train-00000", table)
    languages = [{"source": source, "target": target, "rows": 1} for source, target in pairs]
    return str(closed(made, metrics={"languages": languages}).url)


def faults(path: str, temperature: float = 1.0, **options: Any) -> list[str]:
    source = {"kind": "text", "name": "own", "source_file": "a", "target_file": "b"}
    texts = {"source_language": "en", "target_language": "de", "sources": [source]}
    objective = {"soft_targets": {"temperature": temperature}}
    learner = {"datasets": [{"name": "other", "path": path}], "objective": objective} | options
    return cross_faults(
        {"corpus": corpus.Config.model_validate(texts), "student": student.Config.model_validate(learner)}
    )


@pytest.mark.parametrize(
    ("make", "temperature", "fault"),
    [
        (dataset_table, 1.0, ""),
        (dataset_table, 2.0, "2 is asked for exactly, and the soft targets of student.datasets[0] are exact at 1:"),
        (tempered_dataset, 2.0, ""),
        (
            tempered_dataset,
            3.0,
            "3 is asked for exactly, and the soft targets of student.datasets[0] are exact at 1, 2:",
        ),
        (drawn_dataset, 1.0, ""),
        (drawn_dataset, 2.0, "the soft targets of student.datasets[0] were drawn at temperature 1"),
    ],
)
def test_their_soft_targets_must_hold_the_temperature(
    tmp_path: Path, make: Any, temperature: float, fault: str
) -> None:
    found = faults(folder(tmp_path, make([*SPECIALS, *WORDS])), temperature)
    assert [line.split(": ", 1)[1][: len(fault)] for line in found] == ([fault] if fault else [])
    assert all(line.startswith("student.objective.soft_targets.temperature: ") for line in found)


def test_rows_of_another_language_pair_need_tags(tmp_path: Path) -> None:
    path = folder(tmp_path, dataset_table([*SPECIALS, *WORDS]), (("en", "de"), ("en", "sv")))
    (fault,) = faults(path)
    assert fault.startswith("student.datasets[0]: has rows of en-de, en-sv, and the corpus of en-de")
    assert faults(path, languages={}) == []


@pytest.mark.parametrize(("metrics", "count"), [(("chrf", "mbr-chrf"), 1), (("mbr-chrf", "reference"), 0)])
def test_a_pair_that_is_distilled_no_more_learns_no_hypotheses(
    tmp_path: Path, metrics: tuple[str, str], count: int
) -> None:
    table = dataset_table([*SPECIALS, *WORDS])
    chosen = pa.array([metrics[row % 2] for row in range(len(table))])
    path = folder(tmp_path, table.append_column("metric", chosen))
    found = faults(path, languages={"stop_distilling": {}})
    assert len(found) == count
    assert all(
        line.startswith("student.languages.stop_distilling: the targets of student.datasets[0] ") for line in found
    )


def test_a_folder_that_is_not_there_is_told_of_elsewhere(tmp_path: Path) -> None:
    assert faults(str(tmp_path / "nothing")) == []
