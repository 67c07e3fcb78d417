"""Teachers whose translations are given: which nodes a recipe then has, what they read, and what it may not ask for."""

import re
from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.recipe.graph import Graph
from pipeline.recipe.recipe import Recipe, read_recipe

CORPUS = """
[corpus]
source_language = "es"
target_language = "ca"

[[corpus.sources]]
kind = "text"
name = "a"
source_file = "{folder}/a.txt"
"""
LOW = "[student]\nobjective.soft_targets.weight = 0\n"
GIVEN = '[teacher]\nkind = "given"\npath = "{folder}/given.jsonl"\n'
TRAINED = '[teacher]\nkind = "train"\n'
PEOPLE = '[teachers.people]\nkind = "given"\npath = "{folder}/people.jsonl"\n'
SMALL = '[teachers.small]\nkind = "ctranslate2"\npath = "{folder}/model"\n'


def read(folder: Path, *parts: str) -> Recipe:
    (folder / "a.txt").write_text("hola\n", encoding="utf-8")
    path = folder / "recipe.toml"
    path.write_text("".join((CORPUS, *parts)).format(folder=folder), encoding="utf-8")
    return read_recipe(path)


def faults(folder: Path, *parts: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(folder, *parts)
    return error.value.faults[1:]


def inputs(graph: Graph, name: str) -> set[str]:
    return set(graph[name].inputs.values())


def test_a_given_teacher_has_a_file_in_the_place_of_a_model(tmp_path: Path) -> None:
    graph = read(tmp_path, GIVEN, LOW).graph
    names = [node.name for node in graph.nodes]
    assert names[:6] == ["corpus", "given", "tokenizer", "teacher", "decode", "select"]
    assert not {"calibrate", "scorer"} & set(names)
    modules = {node.name: node.module for node in graph.nodes}
    assert modules["given"] == "stages.given.join"
    assert (modules["teacher"], modules["decode"]) == ("stages.given.stage", "stages.given.encode")
    assert modules["score"] == "stages.score.nothing"
    assert inputs(graph, "given") == {"corpus"}
    assert inputs(graph, "tokenizer") == {"corpus", "given"}, "nothing else may be in the target's language"
    assert inputs(graph, "teacher") == {"tokenizer"}
    assert inputs(graph, "decode") == {"given", "teacher", "tokenizer"}
    assert "given" in inputs(graph, "evaluate") & inputs(graph, "dataset") & inputs(graph, "report")
    assert "given" not in inputs(graph, "student")
    assert [node.name for node in graph.up_to("corpus").nodes] == ["corpus"]


def test_the_file_need_not_be_there_when_the_recipe_is_read(tmp_path: Path) -> None:
    assert not (tmp_path / "given.jsonl").exists()
    assert read(tmp_path, GIVEN, LOW).graph["given"].config.path == f"{tmp_path}/given.jsonl"  # type: ignore[attr-defined]


def test_soft_targets_that_are_given_are_scored_by_reading_them(tmp_path: Path) -> None:
    graph = read(tmp_path, GIVEN, "soft_targets = true\n[score]\nk = 5\n").graph
    assert graph["score"].module == "stages.score.given"
    assert inputs(graph, "score") == {"corpus", "select", "given", "teacher"}
    assert graph["score"].config.k == 5  # type: ignore[attr-defined]


def test_a_tokenizer_that_is_a_file_reads_no_translations(tmp_path: Path) -> None:
    (tmp_path / "a.spm").touch()
    own = '[tokenizer]\nkind = "file"\nsource_model = "{folder}/a.spm"\n[student_tokenizer]\n'
    graph = read(tmp_path, GIVEN, own, LOW).graph
    assert inputs(graph, "tokenizer") == set()
    assert inputs(graph, "student_tokenizer") == {"corpus", "given"}


def test_a_given_teacher_beside_another_has_nodes_of_its_own_and_that_ones_vocabulary(tmp_path: Path) -> None:
    graph = read(tmp_path, TRAINED, PEOPLE).graph
    modules = {node.name: node.module for node in graph.nodes}
    assert modules["decode"] == "stages.decode.stage"
    assert (modules["given_people"], modules["decode_people"]) == ("stages.given.join", "stages.given.encode")
    assert not {"score_people", "calibrate_people", "scorer_people", "fuse", "given"} & set(modules)
    assert inputs(graph, "teacher_people") == {"tokenizer", "teacher"}
    assert inputs(graph, "decode_people") == {"given_people", "teacher_people", "tokenizer"}
    assert graph["pool"].config.teachers == ("teacher", "people")  # type: ignore[attr-defined]
    assert {"given_people", "teacher_people"} <= inputs(graph, "evaluate")
    assert "given_people" in inputs(graph, "tokenizer")


def test_its_log_probabilities_are_fused_with_the_others_where_it_says_so(tmp_path: Path) -> None:
    graph = read(tmp_path, TRAINED, PEOPLE, "soft_targets = true\n").graph
    assert graph["fuse"].config.teachers == ("teacher", "people")  # type: ignore[attr-defined]
    assert graph["score_people"].module == "stages.score.given"
    assert inputs(graph, "score_people") == {"corpus", "select", "given_people", "teacher_people"}


def test_a_model_beside_a_given_teacher_gives_hypotheses_alone(tmp_path: Path) -> None:
    graph = read(tmp_path, GIVEN, LOW, PEOPLE, SECOND, "[decode]\nbeam_size = 2\nnum_hypotheses = 2\n").graph
    assert graph["decode_small"].module == "stages.decode.stage"
    assert graph["decode_small"].config.beam_size == 2  # type: ignore[attr-defined]
    assert graph["decode"].config.model_dump() == {}
    assert graph["pool"].config.teachers == ("teacher", "people", "small")  # type: ignore[attr-defined]
    assert graph["score"].module == "stages.score.nothing"


SECOND = '[teachers.small]\nkind = "train"\nsoft_targets = false\n'


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            (GIVEN, LOW, '[tokenizer]\nkind = "teacher"\n'),
            r"tokenizer.kind: 'teacher': \[teacher\] has none: .*no model",
        ),
        ((GIVEN, LOW, '[tokenizer]\nkind = "none"\n'), r"tokenizer.kind: 'none': .*set it to 'train', or to 'file'"),
        ((GIVEN,), r"student.objective.soft_targets.weight: \[teacher\] is given without log-probabilities"),
        ((GIVEN, LOW, "[student.start]\n"), r"student.start: \[teacher\] has no weights to start from"),
        (
            (GIVEN, LOW, "[[student.objective.features]]\n"),
            r"student.objective.features\[0\]: compares the student with a teacher in memory: .*no model",
        ),
        ((GIVEN, LOW, "[[student.objective.attention]]\n"), r"student.objective.attention\[0\]: compares"),
        ((GIVEN, LOW, "[[student.objective.relations]]\n"), r"student.objective.relations\[0\]: compares"),
        (
            (GIVEN, LOW, "[student.languages]\nstop_distilling = {{}}\n"),
            r"student.languages.stop_distilling: .* of \[teacher\] none can be had",
        ),
        ((GIVEN, LOW, "[decode]\nbeam_size = 5\n"), r"decode: no teacher of this recipe is asked"),
        ((GIVEN, LOW, "[score]\nk = 5\n"), r"score: there is no teacher that could score, and no log-probabilities"),
        ((GIVEN, LOW, "[evaluate]\nattribution = true\n"), r"evaluate.attribution: .*no model"),
        (
            (GIVEN, LOW, "[filter.rules]\nlog_prob_per_token = {{min = -2}}\n"),
            r"filter.rules.log_prob_per_token: is not known of a \[teacher\] that is given",
        ),
        (
            (GIVEN, "soft_targets = true\n", '[score]\nmode = "sampled"\n'),
            r"score.mode: 'sampled': \[teacher\] gives the",
        ),
        ((GIVEN, "soft_targets = true\n", "[score]\ntemperatures = [2]\n"), r"score.temperatures: \[teacher\] gives"),
        (
            (GIVEN, "soft_targets = true\n", '[score]\nbackend = "torch"\n'),
            r"score.backend: nothing is computed, as the log-probabilities of \[teacher\] are given",
        ),
        (
            (GIVEN, "soft_targets = true\n", '[select]\nmetric = "reference"\n'),
            r"teacher.soft_targets: the log-probabilities are of what is given, and select.metric = 'reference'",
        ),
        (
            (TRAINED, PEOPLE, '[select]\nmetric = "score"\n'),
            r"select.metric: 'score' compares .*\[teachers.people\] are",
        ),
        ((TRAINED, PEOPLE, '[select]\nfallback = "score"\n'), r"select.fallback: 'score' compares"),
        ((TRAINED, PEOPLE, 'tokenizer = {{kind = "none"}}\n'), r"teachers.people.tokenizer: its texts are split by"),
        ((GIVEN, LOW, SECOND, "[decode]\nbeam_size = 2\n"), r"decode: num_hypotheses 5 is more than beam_size 2"),
        ((GIVEN, LOW, SMALL), r"\[?teachers.small\]?: its soft targets would be of the vocabulary of \[teacher\]"),
        ((GIVEN, LOW, "restore_checkpoint = true\n"), r"student.restore_checkpoint: unknown key"),
        ((GIVEN, "quantization = 'int8'\n", LOW), r"teacher.quantization: unknown key"),
        (('[teacher]\nkind = "Given"\n', LOW), r"teacher.kind: 'Given' is not one of .*given"),
        (('[teacher]\nkind = "given"\n', LOW), r"teacher.path: .*required"),
        ((GIVEN, 'pairs = ["es-fr"]\n', LOW), r"teacher.pairs: 'es-fr' is no language pair of the corpus"),
        ((GIVEN, 'fields = {{text = "x"}}\n', LOW), r"teacher.fields"),
        ((GIVEN, 'made_by = "<b>"\n', LOW), r"teacher.made_by"),
    ],
)
def test_what_needs_a_model_is_refused_when_the_recipe_is_read(
    tmp_path: Path, parts: tuple[str, ...], told: str
) -> None:
    found = faults(tmp_path, *parts)
    assert any(re.match(told, fault) for fault in found), found
    assert len(found) == len(set(found))


def test_a_term_that_never_weighs_anything_and_a_rule_without_bounds_are_no_faults(tmp_path: Path) -> None:
    rest = "[[student.objective.features]]\nweight = 0\n[filter.rules]\nmean_entropy = {{}}\n"
    assert read(tmp_path, GIVEN, LOW, rest).graph["teacher"].config.soft_targets is False  # type: ignore[attr-defined]
