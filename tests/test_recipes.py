"""The recipes that ship with the project are read without a fault, whatever they are for."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from pipeline.recipe.overrides import apply_overrides
from pipeline.recipe.recipe import read_recipe
from stages.select import stage as select
from stages.student import stage as student
from stages.student.earlier_config import EarlierConfig
from stages.student.further_config import DatasetConfig
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.validation_config import ValidationConfig
from tests.fixtures.artifacts import closed, new_artifact
from tests.stages.student.test_student import dataset_table

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
METHODS = ROOT / "recipes" / "methods"
# Those that are a recipe of methods/ with something laid over it.
COMMANDS = re.findall(r"`(\S+\.toml(?: --set \S+)+)`", (ROOT / "docs" / "methods.md").read_text(encoding="utf-8"))
# Its teacher's checkpoint is trained by the benchmark that the recipe is for.
MADE_ELSEWHERE = {"quality"}
# A model, its field and one of the field's choices.
Choice = tuple[str, str, str]
# Chosen alike wherever they stand: one recipe will do for all their models.
ALIKE = ("layers", "data", "stack")
# No recipe need say what holds without a word.
BY_DEFAULT = {
    ("", "layers", "uniform"),
    ("AttentionTerm", "unequal_heads", "mean"),
    ("RelationTerm", "relations", "queries"),
    ("StartConfig", "embeddings", "copy"),
    ("LanguagesConfig", "tags", "none"),
    ("StudentLanguagesConfig", "tags", "none"),
}
# What a student is and how it steps are no ways of distilling.
NO_WAYS = (ModelConfig, OptimiserConfig, ValidationConfig, EarlierConfig)


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


def choice(model: type[BaseModel], field: str, value: str) -> Choice:
    return "" if field in ALIKE else model.__name__, field, value


def choices(model: type[BaseModel]) -> Iterator[Choice]:
    """All literals of the model's fields, and of the models in them."""
    for name, field in model.model_fields.items():
        for found in parts(field.annotation):
            if not isinstance(found, type):
                yield choice(model, name, found)
            elif found not in NO_WAYS:
                yield from choices(found)


def parts(annotation: Any) -> Iterator[Any]:
    """The literals and the models in an annotation."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from inside
    elif origin is Annotated:
        yield from parts(inside[0])
    elif origin in (Union, UnionType, tuple, list, dict):
        for each in inside:
            yield from parts(each)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def named(value: Any) -> Iterator[Choice]:
    """What a recipe says itself in a section that is read, and in those within it."""
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            for each in flat(getattr(value, name)):
                if isinstance(each, BaseModel):
                    yield from named(each)
                elif isinstance(each, str):
                    yield choice(type(value), name, each)


def flat(value: Any) -> Iterator[Any]:
    """A value, or all in a container."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from flat(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from flat(each)
    else:
        yield value


def parsed(command: str) -> tuple[Path, list[str]]:
    """A recipe, and what the command lays over it."""
    name, *parts = command.split(" --set ")
    return METHODS / name, parts


def documents() -> Iterator[dict[str, Any]]:
    """All recipes, and what the commands of the docs make of them."""
    for path, overrides in [*((path, []) for path in RECIPES), *map(parsed, COMMANDS)]:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        assert apply_overrides(document, overrides) == []
        yield document


def test_every_choice_of_a_way_is_named_in_some_recipe_or_command() -> None:
    shown: set[Choice] = set()
    for name, model in (("student", student.Config), ("select", select.Config)):
        for document in documents():
            shown |= set(named(model.model_validate(document.get(name, {}))))
    wanted = {*choices(student.Config), *(("Config", "metric", metric) for metric in get_args(select.Metric))}
    assert sorted(wanted - shown - BY_DEFAULT) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_has_no_fault(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path, overrides = parsed(command)
    assert read_recipe(path, overrides).graph.nodes


def test_some_recipe_weighs_its_teachers_unequally() -> None:
    weights = [set(document.get("fuse", {}).get("weights", {}).values()) for document in documents()]
    assert any(len(found) > 1 for found in weights)
