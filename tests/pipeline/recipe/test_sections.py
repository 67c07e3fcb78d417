"""A fault of one kind does not hide those of another: whoever mends a recipe mends it once."""

from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.recipe.recipe import read_recipe

RECIPE = """
[corpus]
source_language = "en"
target_language = "de"
shard_rwos = 10

[[corpus.sources]]
kind = "text"
name = "a"
source_file = "not-there.txt"
license = "CC0-1.0"

[teacher]
kind = "ctranslate2"
path = "no-such-folder"
devise = "cpu"

[decode]
beam_sise = 4
num_hypotheses = 9
"""


def test_unknown_keys_hide_neither_missing_files_nor_contradictions(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        read_recipe(path)

    faults = "\n".join(caught.value.faults)
    for expected in (
        "corpus.shard_rwos: unknown key; did you mean shard_rows?",
        "corpus.sources[0].license: unknown key; did you mean licence?",
        "not-there.txt",
        "teacher.devise: unknown key; did you mean device?",
        "no-such-folder",
        "decode.beam_sise: unknown key; did you mean beam_size?",
        "num_hypotheses 9",
    ):
        assert expected in faults, expected
    assert len(caught.value.faults) == len(set(caught.value.faults))
