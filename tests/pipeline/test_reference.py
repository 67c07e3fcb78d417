"""docs/recipes.md is made from the code, and lists every key of every section."""

import importlib
from pathlib import Path

from pipeline.graph import STAGES
from pipeline.reference import reference


def test_the_committed_page_is_the_one_that_the_code_makes() -> None:
    assert Path("docs/recipes.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_key_of_every_stage_is_there() -> None:
    page = reference()
    for entry in STAGES:
        for key in importlib.import_module(entry.module).Config.model_fields:
            assert f"| `{key}` |" in page, (entry.node, key)
