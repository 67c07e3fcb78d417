"""Several teachers in a recipe: which nodes there are, what each reads, and what cannot be."""

import inspect
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from data.errors import ConfigError
from pipeline.recipe.graph import STAGES, Graph
from pipeline.recipe.recipe import read_recipe
from stages.fuse import stage as fuse
from stages.pool import stage as pool
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_teacher

CORPUS = """
[corpus]
source_language = "en"
target_language = "de"

[[corpus.sources]]
kind = "text"
name = "a"
source_file = "{folder}/a.txt"
"""
ONE = CORPUS + '[teacher]\nkind = "train"\n'
TWO = ONE + '[teachers.small]\nkind = "train"\nmodel.width = 128\n'


def graph(folder: Path, text: str, *overrides: str) -> Graph:
    (folder / "a.txt").write_text("a line\n")
    path = folder / "recipe.toml"
    path.write_text(text.format(folder=folder))
    return read_recipe(path, overrides).graph


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        graph(folder, text)
    return caught.value.faults[1:]


def names(found: Graph) -> list[str]:
    return [node.name for node in found.nodes]


def test_with_one_teacher_the_graph_is_as_it_is_registered(tmp_path: Path) -> None:
    found = graph(tmp_path, ONE)
    assert names(found) == [entry.node for entry in STAGES if not entry.only_with]
    assert found["select"].inputs == {"corpus": "corpus", "decode": "decode", "tokenizer": "tokenizer"}
    assert "pool" not in found["report"].inputs


def test_each_teacher_has_nodes_of_its_own_and_what_they_make_comes_together(tmp_path: Path) -> None:
    found = graph(tmp_path, TWO)
    added = set(names(found)) - {entry.node for entry in STAGES}
    assert added == {"teacher_small", "calibrate_small", "decode_small", "scorer_small", "score_small", "pool", "fuse"}
    assert found["decode_small"].inputs == {
        "corpus": "corpus", "teacher": "teacher_small", "tokenizer": "tokenizer", "calibrate": "calibrate_small"
    }  # fmt: skip
    assert found["score_small"].inputs["teacher"] == "teacher_small"
    assert found["score_small"].inputs["select"] == found["scorer_small"].inputs["select"] == "select"
    assert found["score_small"].inputs["scorer"] == "scorer_small"
    assert found["scorer_small"].inputs["teacher"] == "teacher_small"
    assert found["pool"].inputs == {"decode": "decode", "decode_small": "decode_small"}
    assert found["select"].inputs["decode"] == "pool"
    assert found["measure"].inputs["score"] == "fuse"
    assert found["fuse"].inputs == {
        "corpus": "corpus", "score": "score", "score_small": "score_small", "teacher": "teacher",
        "teacher_small": "teacher_small",
    }  # fmt: skip
    for node in ("dataset", "report"):
        assert {"pool", "fuse", "teacher_small", "decode", "score"} <= set(found[node].inputs)
    assert found["student"].inputs["teacher"] == "teacher"
    assert found["student"].inputs["teacher_small"] == "teacher_small"
    assert not {"pool", "fuse"} & set(found["student"].inputs)
    assert found["pool"].kind == found["fuse"].kind == "shard"


def test_a_teachers_section_is_its_own_and_shares_decode_and_score(tmp_path: Path) -> None:
    text = TWO + "[decode]\nbeam_size = 7\n[score]\nk = 3\n[fuse]\nweights = {{small = 2.0}}\n"
    found = graph(tmp_path, text, "teachers.small.optimiser.steps=7")
    config = found["teacher_small"].config.model_dump()
    assert (config["model"]["width"], config["optimiser"]["steps"]) == (128, 7)
    assert found["teacher"].config.model_dump()["model"]["width"] == 256
    assert found["decode_small"].config == found["decode"].config == found["calibrate_small"].config
    assert found["score_small"].config.model_dump()["k"] == 3
    assert found["fuse"].config.model_dump() == {"weights": {"small": 2.0}, "k": 0, "teachers": ("teacher", "small")}


def test_a_teacher_for_hypotheses_alone_may_have_its_own_tokenizer(tmp_path: Path) -> None:
    own = 'soft_targets = false\ntokenizer = {{kind = "train", vocabulary_size = 500}}\n'
    found = graph(tmp_path, TWO + own)
    assert "fuse" not in names(found)
    assert not {"scorer_small", "score_small"} & set(names(found))
    assert found["measure"].inputs["score"] == "score"
    assert found["tokenizer_small"].config.model_dump()["vocabulary_size"] == 500
    assert found["teacher_small"].inputs == {"corpus": "corpus", "tokenizer": "tokenizer_small"}
    assert found["decode_small"].inputs["tokenizer"] == "tokenizer_small"
    assert found["pool"].config.model_dump() == {"teachers": ("teacher", "small"), "retokenised": ("small",)}
    assert found["pool"].inputs["tokenizer"] == "tokenizer"


def test_a_tokenizer_of_a_teachers_own_may_be_the_one_beside_its_model(tmp_path: Path) -> None:
    found = graph(
        tmp_path, TWO.replace('"train"\nmodel', '"train"\nsoft_targets = false\ntokenizer.kind = "none"\nmodel')
    )
    assert found["tokenizer_small"].inputs == {}


def test_other_subwords_and_soft_targets_do_not_go_together(tmp_path: Path) -> None:
    assert faults(tmp_path, TWO + 'tokenizer = {{kind = "train"}}\n') == [
        "teachers.small.tokenizer: with other subwords its vocabulary is another one, and soft targets are fused by "
        "id; set teachers.small.soft_targets = false, and it gives hypotheses alone, or leave its tokenizer out, and "
        "it shares that of [tokenizer]"
    ]


def test_vocabularies_that_can_be_told_apart_are_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    for name, words in (("one", 20), ("other", 21)):
        write_tiny_teacher(tmp_path / name, shape=TinyShape(words=words))
    text = CORPUS + (
        '[teacher]\nkind = "ctranslate2"\npath = "{folder}/one"\n'
        '[teachers.small]\nkind = "ctranslate2"\npath = "{folder}/other"\n[tokenizer]\nkind = "none"\n'
    )
    (fault,) = faults(tmp_path, text)
    assert fault.startswith("teachers.small: its target vocabulary has the digest ")
    assert "soft_targets = false" in fault
    assert "score_small" not in names(graph(tmp_path, text.replace("[tokenizer]", "soft_targets = false\n[tokenizer]")))


def test_faults_bear_the_name_of_the_teachers_section(tmp_path: Path) -> None:
    text = ONE + (
        '[teachers.small]\nkind = "ctranslate2"\npath = "no-such"\nsoft_target = true\n[teachers.Big]\nkind = "train"\n'
        "[fuse]\nweights = {{smal = 2.0}}\n[score]\ntemperatures = [2.0]\n"
    )
    found = "\n".join(faults(tmp_path, text))
    for expected in (
        "teachers.small.soft_target: unknown key",
        "teachers.small.path: no-such: no such folder",
        "teachers.Big: no name for a further teacher",
        "fuse.weights.smal: no teacher whose soft targets are fused; did you mean small?",
        "score.temperatures: the tail of a mean of several teachers",
    ):
        assert expected in found, expected


@pytest.mark.parametrize("content", ["teachers = 3\n", "[teachers]\nkind = 'train'\n", "[teachers.teacher]\n"])
def test_what_is_no_further_teacher_is_a_fault(tmp_path: Path, content: str) -> None:
    text = content + ONE if content.startswith("teachers =") else ONE + content
    assert any(fault.startswith("teachers") for fault in faults(tmp_path, text))


def test_what_teachers_make_together_needs_several(tmp_path: Path) -> None:
    found = faults(tmp_path, ONE + "[fuse]\nk = 3\n")
    assert any(fault.startswith("fuse: puts the soft targets of several teachers together") for fault in found)


@pytest.mark.parametrize("stage", [pool, fuse])
def test_what_puts_teachers_together_has_what_a_shard_stage_needs(stage: ModuleType) -> None:
    config = stage.Config(teachers=("teacher", "small"))
    assert isinstance(stage.VERSION, str)
    assert isinstance(stage.SCHEMA, pa.Schema)
    assert {*stage.reads(config), *stage.resources(config)}
    assert stage.Config.model_config["extra"] == "forbid"
    assert list(inspect.signature(stage.run).parameters) == ["table", "config", "resources"]
    assert list(inspect.signature(stage.load).parameters) == ["config", "artifacts", "runtime"]
