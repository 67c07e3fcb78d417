"""Every registered stage keeps what the runner counts on."""

import importlib
import inspect
import subprocess
import sys

import pyarrow as pa
import pytest
from pydantic import BaseModel

from data import schema
from pipeline.recipe.graph import STAGES, StageEntry
from stages.corpus.splits import SPLITS

HEAVY = ("torch", "onmt", "ctranslate2", "sentencepiece", "transformers", "sacrebleu", "pandas", "matplotlib", "dask")
NODES = {entry.node for entry in STAGES}


@pytest.mark.parametrize("entry", STAGES, ids=lambda entry: entry.node)
def test_a_stage_has_what_its_kind_needs(entry: StageEntry) -> None:
    stage = importlib.import_module(entry.module)
    assert isinstance(stage.VERSION, str)
    assert all(isinstance(name, str) for name in stage.LIBRARIES)
    assert issubclass(stage.Config, BaseModel)
    assert stage.Config.model_config["extra"] == "forbid"
    assert stage.Config.model_config["frozen"]
    if hasattr(stage, "READS"):
        assert {*stage.READS, *stage.RESOURCES} <= NODES
        assert isinstance(stage.SCHEMA, pa.Schema)
        assert list(inspect.signature(stage.run).parameters) == ["table", "config", "resources"]
        assert list(inspect.signature(stage.load).parameters) == ["config", "artifacts", "runtime"]
    else:
        assert hasattr(stage, "inputs") or set(stage.INPUTS) <= NODES
        if hasattr(stage, "reads_only"):
            assert list(inspect.signature(stage.reads_only).parameters) == ["config"]
        assert list(inspect.signature(stage.run).parameters) == ["inputs", "config", "output", "runtime"]


@pytest.mark.parametrize("entry", STAGES, ids=lambda entry: entry.node)
def test_what_a_whole_stage_says_it_reads_is_there(entry: StageEntry) -> None:
    stage = importlib.import_module(entry.module)
    if not hasattr(stage, "reads_only"):
        return
    schemas = {
        "corpus": schema.PAIRS,
        "given": schema.GIVEN,
        "select": schema.SELECTED,
        "dataset": schema.DATASET,
    }
    for role, splits in stage.reads_only(stage.Config.model_construct()).items():
        for split, columns in splits.items():
            assert split in SPLITS
            assert set(columns) <= set(schemas[role].names) - {"origin", "location"}


def test_importing_all_stages_imports_no_heavy_library() -> None:
    modules = sorted({entry.module for entry in STAGES})
    code = f"import sys, {', '.join(modules)}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
