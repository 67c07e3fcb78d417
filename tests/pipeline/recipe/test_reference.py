"""docs/recipes.md is made from the code, and lists every key of every section."""

import importlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, TypeAdapter

from pipeline.recipe.graph import STAGES
from pipeline.recipe.reference import reference


def test_the_committed_page_is_the_one_that_the_code_makes() -> None:
    assert Path("docs/recipes.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_key_of_every_stage_is_there() -> None:
    page = reference()
    for entry in STAGES:
        for key in importlib.import_module(entry.module).Config.model_fields:
            assert f"| `{key}` |" in page, (entry.node, key)


def tables(page: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Each heading, and by key the cells behind it in the table below."""
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
        yield section.splitlines()[0], {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}


def value(default: str) -> object:
    """What a recipe has that says the default itself."""
    assert (default[0], default[-1]) == ("`", "`"), default
    return tomllib.loads(f"key = {default[1:-1]}")["key"]


def sections(name: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield f"`[{name}]`", model
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from sections(f"{name}.{key}", field.annotation)


def test_every_default_is_written_as_in_a_recipe() -> None:
    defaults = [cells[1] for _, rows in tables(reference()) for cells in rows.values()]
    assert len([value(default) for default in defaults if default not in ("required", "none")]) > 200


def test_a_recipe_that_says_the_defaults_is_one_that_says_nothing() -> None:
    shown, compared = dict(tables(reference())), 0
    for entry in STAGES:
        if entry.section:
            continue
        for heading, model in sections(entry.node, importlib.import_module(entry.module).Config):
            for key, (_, default, _) in shown[heading].items():
                field = model.model_fields[key]
                if default in ("required", "none"):
                    assert field.is_required() if default == "required" else field.default is None
                    continue
                kind = TypeAdapter(Annotated[field.annotation, field])
                assert kind.validate_python(value(default)) == field.get_default(call_default_factory=True), key
                compared += 1
    assert compared > 100


def test_every_heading_is_there_once() -> None:
    twice = [
        heading for heading, number in Counter(heading for heading, _ in tables(reference())).items() if number > 1
    ]
    assert twice == []
    assert '`[[corpus.sources]]` with `kind = "tsv"`' in dict(tables(reference()))
    assert reference().count("## `[[corpus.test_sets]]`\n\nThe keys of `[[corpus.sources]]`.\n") == 1
