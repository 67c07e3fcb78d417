"""The weight of a source: whose config it is in, and whose it is not."""

from pathlib import Path
from typing import Any

import pytest

from data.errors import ConfigError
from pipeline.recipe.graph import Graph
from pipeline.recipe.recipe import read_recipe
from stages.student import stage as student

RECIPE = """
[corpus]
source_language = "en"
target_language = "de"
[[corpus.sources]]
name = "a"
kind = "tsv"
file = "a.tsv"
target_column = 1
{first}
[[corpus.sources]]
name = "b"
kind = "tsv"
file = "b.tsv"
target_column = 1
{second}
[tokenizer]
kind = "none"
[teacher]
{teacher}
[student]
data = {{hypothesis = 0.5, nbest = 0.3, reference = 0.2}}
{student}
[baseline]
"""
MADE_ELSEWHERE = 'kind = "opennmt"\npath = "teacher.pt"'


def graph(folder: Path, first: str = "", second: str = "", teacher: str = MADE_ELSEWHERE, learner: str = "") -> Graph:
    for name in ("a.tsv", "b.tsv", "teacher.pt"):
        (folder / name).write_text("x\ty\n")
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(first=first, second=second, teacher=teacher, student=learner))
    return read_recipe(path).graph


def dumped(made: Graph) -> dict[str, Any]:
    """What stands in the fingerprints."""
    return {node.name: node.config.model_dump(mode="json") for node in made.nodes}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("teacher", "anew"), [(MADE_ELSEWHERE, set()), ("", {"teacher"})], ids=["given", "trained"])
def test_a_weight_makes_the_trainings_anew_and_nothing_else(tmp_path: Path, teacher: str, anew: set[str]) -> None:
    plain = dumped(graph(tmp_path, teacher=teacher))
    weighed = dumped(graph(tmp_path, "weight = 2.5", teacher=teacher))
    assert {name for name in plain if plain[name] != weighed[name]} == {"student", "baseline"} | anew
    assert all(weighed[name]["weights"] == {"a": 2.5} for name in {"student", "baseline"} | anew)
    # Without any they say nothing of it, as before there were weights.
    assert not any("weights" in content for content in plain.values())


def test_a_weight_of_one_is_none(tmp_path: Path) -> None:
    plain = dumped(graph(tmp_path))
    assert dumped(graph(tmp_path, "weight = 1", 'weight = 1.0\nlicence = "MIT"'))["student"] == plain["student"]


def test_the_source_of_a_row_is_read_only_where_there_are_weights(tmp_path: Path) -> None:
    plain, weighed = (graph(tmp_path, first)["student"].config for first in ("", "weight = 0.5"))
    for config, has in ((plain, False), (weighed, True)):
        assert isinstance(config, student.Config)
        reads = student.reads_only(config)
        assert [("origin" in reads[name]["train"]) for name in ("corpus", "dataset")] == [has, has]


@pytest.mark.parametrize("weight", ["0", "-1", "1e9", "nan", '"much"'])
def test_what_is_no_weight_is_told_where_the_source_is(tmp_path: Path, weight: str) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.sources\[0\]\.weight") as caught:
        graph(tmp_path, f"weight = {weight}")
    assert "student" not in str(caught.value)


def test_weights_are_not_given_to_the_student(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"student\.weights: taken from \[\[corpus\.sources\]\]; write it there"):
        graph(tmp_path, learner="weights = {a = 2.0}")
