"""The recipes that ship with the project are read without a fault, whatever they are for."""

from pathlib import Path

import pytest

from pipeline.recipe import read_recipe
from stages.training.further_config import DatasetConfig
from tests.fixtures.artifacts import closed, new_artifact
from tests.stages.test_student import dataset_table

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
# Its teacher's checkpoint is trained by the benchmark that the recipe is for.
MADE_ELSEWHERE = {"quality"}


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_has_no_fault(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made = new_artifact(tmp_path, "dataset")
    made.write_shard("train-00000", dataset_table(["<unk>", "<s>", "</s>", *(f"a{number}" for number in range(36))]))
    dataset = Path(closed(made).url)
    # The folder that another recipe has to leave first.
    monkeypatch.setattr(DatasetConfig, "manifests", lambda self: [dataset / "manifest.json"])
    overrides = []
    if path.stem in MADE_ELSEWHERE:
        (tmp_path / "checkpoint.pt").touch()
        overrides = [f"teacher.path={tmp_path / 'checkpoint.pt'}"]
    recipe = read_recipe(path, overrides)
    assert recipe.graph.nodes


def test_every_way_has_its_recipe_in_the_docs() -> None:
    told = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [path.name for path in RECIPES if path.parent.name == "methods" and f"`{path.name}`" not in told] == []
