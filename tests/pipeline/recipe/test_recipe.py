import json
import re
from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.recipe.recipe import Recipe, read_recipe
from tests.pipeline.toy.registry import TOY_STAGES


def read(folder: Path, text: str, *overrides: str) -> Recipe:
    path = folder / "demo.toml"
    path.write_text(text)
    return read_recipe(path, overrides, TOY_STAGES)


def faults_of(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, *overrides)
    return caught.value.faults


def test_sections_become_configs_and_absent_ones_take_their_defaults(tmp_path: Path) -> None:
    recipe = read(tmp_path, "[corpus]\nrows = 7\n")
    assert recipe.graph["corpus"].config.model_dump()["rows"] == 7
    assert recipe.graph["shout"].config.model_dump()["mark"] == "!"
    assert recipe.run.name == "demo"
    assert recipe.run.store_url() == str(Path.cwd() / "runs" / "demo")


def test_a_store_behind_a_url_stays_as_it_is(tmp_path: Path) -> None:
    recipe = read(tmp_path, '[run]\nname = "x"\nstore = "memory://bucket/runs/"\n[corpus]\n')
    assert recipe.run.store_url() == "memory://bucket/runs/x"


@pytest.mark.parametrize(
    ("store", "told"),
    [
        # A package that is not among the requirements.
        ("sftp://host/runs", "paramiko.* to be installed; install that package here and wherever workers run"),
        ("nosuch://bucket", "Protocol not known: nosuch; expected a folder, or a URL of a file system that fsspec"),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_with_all_else(tmp_path: Path, store: str, told: str) -> None:
    faults = faults_of(tmp_path, "[corpus]\nrows = -1\n", f"run.store={store}")
    assert len(faults) == 3
    assert re.match(f"run.store: {store}: .*{told}", faults[1])


def test_only_of_stages_that_there_are_something_is_expected(tmp_path: Path) -> None:
    expected = "[run]\nexpected_seconds = {corpus = 3, shuot = 4}\n[corpus]\n"
    assert faults_of(tmp_path, expected)[1:] == ["run.expected_seconds.shuot: no such stage; did you mean shout?"]
    assert read(tmp_path, expected.replace("shuot", "shout")).run.expected_seconds == {"corpus": 3, "shout": 4}
    assert "allowed: more than 0" in faults_of(tmp_path, expected.replace("4", "0").replace("shuot", "shout"))[1]


def test_a_file_name_that_is_none_for_a_folder_is_told_as_one(tmp_path: Path) -> None:
    path = tmp_path / "my recipe.toml"
    path.write_text("[corpus]\n")
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, (), TOY_STAGES)
    assert caught.value.faults[1:] == [
        "run.name: 'my recipe' is no name for a folder; expected letters, digits, '_', '.' and '-'; it is the recipe's "
        "file name: rename the file, or set run.name"
    ]
    assert read_recipe(path, ["run.name=mine"], TOY_STAGES).run.name == "mine"


@pytest.mark.parametrize("name", [".", "..", "...", "a/b", "", "a b", "a\n"])
def test_a_name_that_leads_out_of_the_store_is_refused(tmp_path: Path, name: str) -> None:
    assert faults_of(tmp_path, f"[run]\nname = {json.dumps(name)}\n[corpus]\n")[1:] == [
        f"run.name: {name!r} is no name for a folder; expected letters, digits, '_', '.' and '-'"
    ]


def test_faults_of_all_sections_come_at_once_with_missing_files_among_them(tmp_path: Path) -> None:
    text = '[run]\nretries = 99\n[corpus]\nwords = "none.txt"\n[shout]\nmrak = "?"\nseconds = -1\n[cuont]\n'
    assert faults_of(tmp_path, text) == [
        f"recipe {tmp_path / 'demo.toml'}: 5 faults",
        "cuont: unknown section; did you mean count?",
        "run.retries: 99 is out of range; allowed: at least 0 and at most 20",
        "corpus.words: no such file: none.txt",
        "shout.seconds: -1 is out of range; allowed: at least 0 and at most 60",
        "shout.mrak: unknown key; did you mean mark?",
    ]


def test_a_required_section_that_is_absent_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "")[1:] == ["corpus: the section [corpus] is required, but not given"]


def test_what_is_no_section_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "shout = 3\n[corpus]\n")[1:] == ["shout: expected a section [shout]; found 3"]


def test_a_variant_lies_over_the_section_of_its_stage(tmp_path: Path) -> None:
    recipe = read(tmp_path, "[corpus]\n[total]\nfactor = 3\nseconds = 1\n[base]\nfactor = 4\n")
    assert recipe.graph["base"].config.model_dump() == {
        "data": "rows",
        "factor": 4,
        "seconds": 1.0,
        "trace": "",
        "meet": 0,
    }
    assert recipe.graph["total"].config.model_dump()["data"] == "length"
    assert recipe.graph["base"].inputs == {"corpus": "corpus"}


def test_a_fault_of_the_shared_section_is_told_once_and_that_of_the_variant_under_its_own_name(tmp_path: Path) -> None:
    text = '[corpus]\n[total]\nfactor = 11\n[base]\nfacter = 2\ndata = "length"\n'
    assert faults_of(tmp_path, text)[1:] == [
        "total.factor: 11 is out of range; allowed: at least 1 and at most 10",
        "base.data: always 'rows'; leave it out",
        "base.facter: unknown key; did you mean factor?",
    ]


def test_overrides_take_toml_values_and_texts_and_are_checked_like_the_recipe(tmp_path: Path) -> None:
    recipe = read(tmp_path, "[corpus]\n", "corpus.rows=9", "shout.mark=?", 'corpus.prefix="5"', "run.name=other")
    assert recipe.graph["corpus"].config.model_dump()["rows"] == 9
    assert recipe.graph["corpus"].config.model_dump()["prefix"] == "5"
    assert recipe.graph["shout"].config.model_dump()["mark"] == "?"
    assert recipe.run.name == "other"
    assert faults_of(tmp_path, "[corpus]\n", "corpus.rows=-1", "rows", "corpus=3", "corpus.rows.x=1", "shout.²=1")[
        1:
    ] == [
        "--set rows: expected section.key=value, such as decode.beam_size=4",
        "--set corpus=3: expected section.key=value, such as decode.beam_size=4",
        "--set corpus.rows.x=1: there is no such table or list to set it in",
        "corpus.rows: -1 is out of range; allowed: at least 0 and at most 100000",
        "shout.²: unknown key; known: kind, mark, seconds, times, trace, trouble",
    ]


def test_an_override_reaches_into_lists(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path, "[corpus]\nsources = [{file = 1}]\n", "corpus.sources[0].file=2", "corpus.sources[1]=2"
    )
    assert faults[1:] == [
        "--set corpus.sources[1]=2: there is no such table or list to set it in",
        "corpus.sources: unknown key; known: prefix, rows, shard_rows, title, words",
    ]


def test_a_recipe_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert "not valid TOML" in faults_of(tmp_path, "[corpus\n")[0]
    assert "line 1" in faults_of(tmp_path, "[corpus\n")[0]


def test_a_missing_recipe_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "demo.toml").touch()
    with pytest.raises(ConfigError, match=r"no such file; did you mean .*demo\.toml\?"):
        read_recipe(tmp_path / "dmeo.toml", (), TOY_STAGES)
