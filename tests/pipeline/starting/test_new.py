"""`potstill new`: what it sees in files and teachers, and that what it writes is a recipe."""

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from data.errors import ConfigError
from pipeline.recipe.recipe import read_recipe
from pipeline.starting.teachers import find_teacher, nllb_name
from pipeline.starting.texts import look_at
from pipeline.starting.write import OPEN, Wanted, recipe_text

ROOT = Path(__file__).parents[3]
TEACHER = ROOT / "recipes" / "teachers" / "en-de"
BOTH = ("en", "de")
ACTIONS = {"Turn on": "einschalten", "Open": "öffnen", "Restart": "neu starten", "Check the state of": "prüfen"}
DEVICES = {
    "the light": "das Licht",
    "the window in the kitchen": "das Fenster in der Küche",
    "the very old washing machine": "die sehr alte Waschmaschine",
    "all switches of this house": "alle Schalter dieses Hauses",
}
PLACES = {"": "", " after ten minutes": " nach zehn Minuten", " when nobody is at home": " wenn niemand zu Hause ist"}
PAIRS = [
    (f"{action} {device}{place}", f"{german}{there} {verb}")
    for (action, verb), (device, german), (place, there) in itertools.product(
        ACTIONS.items(), DEVICES.items(), PLACES.items()
    )
]
PAIRS = [PAIRS[place] for place in np.random.default_rng(1).permutation(len(PAIRS))]
ENGLISH, GERMAN = ([pair[side] for pair in PAIRS] for side in (0, 1))


def written(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def faults(folder: Path, ours: list[str], theirs: list[str], languages: tuple[str, str] = BOTH) -> str:
    return "; ".join(look_at(written(folder, "a", ours), written(folder, "b", theirs), languages).faults)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_that_belong_together_have_no_fault(tmp_path: Path, ending: str) -> None:
    look = look_at(written(tmp_path, f"a.en{ending}", ENGLISH), written(tmp_path, f"a.de{ending}", GERMAN), BOTH)
    assert (look.lines, look.faults) == (len(PAIRS), [])
    assert look.notes[0].startswith("lines belong together")


def test_what_is_wrong_with_two_files_is_told(tmp_path: Path) -> None:
    assert "has 48 lines" in faults(tmp_path, ENGLISH, GERMAN[:40])
    assert "the target is 1 line behind" in faults(tmp_path, ENGLISH, ["Davor", *GERMAN[:-1]])
    assert "the source is 2 lines behind" in faults(tmp_path, ["One", "Two and more", *ENGLISH[:-2]], GERMAN)
    assert "no more than by chance" in faults(
        tmp_path, ENGLISH, [GERMAN[place] for place in np.random.default_rng(2).permutation(len(GERMAN))]
    )
    assert "the sides are swapped" in faults(tmp_path, GERMAN, ENGLISH)
    assert "looks like en, and fr was said" in faults(tmp_path, ENGLISH, GERMAN, ("fr", "de"))
    assert "one is a copy of the other" in faults(tmp_path, ENGLISH, ENGLISH)
    assert "is empty" in faults(tmp_path, [], GERMAN)


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"One line\0\n")
    with pytest.raises(ConfigError, match="holds zero bytes"):
        look_at(path, None, BOTH)
    for content in (b"PK\3\4\0\0\0", b'<tmx version="1.4">', '{"en": "One"}\n'.encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read as text"):
            look_at(path, None, BOTH)
    path = tmp_path / "a.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        look_at(path, None, BOTH)


def test_the_kind_of_a_teacher_is_seen(tmp_path: Path) -> None:
    assert find_teacher(str(TEACHER), BOTH).keys["kind"] == "ctranslate2"
    (tmp_path / "model.pt").touch()
    assert find_teacher(str(tmp_path / "model.pt"), BOTH).keys["kind"] == "opennmt"
    (tmp_path / "dict.en.txt").touch()
    assert find_teacher(str(tmp_path / "model.pt"), BOTH).keys["kind"] == "fairseq"
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
    found = find_teacher(str(hub), BOTH)
    assert (found.keys["kind"], found.keys["target_prefix"]) == ("transformers", ["__{target}__"])
    named = find_teacher("facebook/nllb-200-distilled-600M", BOTH)
    assert named.keys["language_names"] == {"en": "eng_Latn", "de": "deu_Latn"}
    assert "guessed" in named.open[0]
    assert "neither" in find_teacher(str(tmp_path), BOTH).open[0]


def test_names_of_nllb_have_the_usual_script() -> None:
    names = {"ru": "rus_Cyrl", "zh-TW": "zho_Hant", "ja": "jpn_Jpan", "sr-Latn": "srp_Latn"}
    assert {tag: nllb_name(tag) for tag in names} == names


def test_what_is_written_is_a_recipe_without_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpora = [
        look_at(written(tmp_path, "a.en", ENGLISH), written(tmp_path, "a.de", GERMAN), BOTH),
        look_at(written(tmp_path, "a.more.en", ENGLISH), None, BOTH),
    ]
    tests = [look_at(written(tmp_path, "t.en", ENGLISH[:5]), written(tmp_path, "t.de", GERMAN[:5]), BOTH)]
    path = tmp_path / "my.toml"
    path.write_text(recipe_text(Wanted("en", "de", corpora, tests, find_teacher(str(TEACHER), BOTH))))
    assert OPEN not in path.read_text()
    recipe = read_recipe(path)
    assert {"decode", "score", "student", "baseline", "report"} <= {node.name for node in recipe.graph.nodes}
    corpus = recipe.graph["corpus"].config.model_dump()
    assert [source["name"] for source in corpus["sources"]] == ["a", "a-2"]
    assert [source["name"] for source in corpus["test_sets"]] == ["test-t"]


def test_without_references_nothing_of_them_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alone = [look_at(written(tmp_path, "a.en", ENGLISH), None, BOTH)]
    path = tmp_path / "my.toml"
    path.write_text(recipe_text(Wanted("en", "de", alone, [], find_teacher(str(TEACHER), BOTH))))
    recipe = read_recipe(path)
    assert "baseline" not in {node.name for node in recipe.graph.nodes}
    assert recipe.graph["select"].config.model_dump()["metric"] == "score"


def test_what_is_open_is_marked_where_it_stands(tmp_path: Path) -> None:
    swapped = look_at(written(tmp_path, "a", GERMAN), written(tmp_path, "b", ENGLISH), BOTH)
    text = recipe_text(Wanted("en", "de", [swapped], [], find_teacher("facebook/nllb-200", BOTH)))
    assert f"# {OPEN}: " in text
    assert "the sides are swapped" in text
    assert f"# {OPEN}: teacher.language_names: guessed" in text
