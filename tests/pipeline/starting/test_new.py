"""`potstill new`: what it sees in files and teachers, and that what it writes is a recipe."""

import contextlib
import gzip
import itertools
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import ConfigError
from pipeline.cli.app import main
from pipeline.recipe.faults import OPEN
from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.starting.sources import table_source, text_source
from pipeline.starting.teachers import find_teacher
from pipeline.starting.texts import Look, look_at
from pipeline.starting.write import Wanted, recipe_text

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


def look(ours: Path, theirs: Path | None, languages: tuple[str, str] = BOTH) -> Look:
    return look_at(text_source(ours, theirs), languages)


def faults(folder: Path, ours: list[str], theirs: list[str], languages: tuple[str, str] = BOTH) -> str:
    return "; ".join(look(written(folder, "a", ours), written(folder, "b", theirs), languages).faults)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_that_belong_together_have_no_fault(tmp_path: Path, ending: str) -> None:
    found = look(written(tmp_path, f"a.en{ending}", ENGLISH), written(tmp_path, f"a.de{ending}", GERMAN))
    assert (found.lines, found.faults) == (len(PAIRS), [])
    assert found.notes[:2] == ["the source is in en", "the target is in de"]
    assert found.notes[2].startswith("lines belong together")


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
    assert "nothing is in it" in faults(tmp_path, [], [])


@pytest.mark.parametrize("first", [700, 1400, 2900])
def test_a_shift_is_found_wherever_it_begins(tmp_path: Path, first: int) -> None:
    places = np.random.default_rng(3).integers(len(PAIRS), size=3100)
    ours, theirs = ([side[place] for place in places] for side in (ENGLISH, GERMAN))
    assert faults(tmp_path, ours, theirs) == ""
    told = faults(tmp_path, ours, [*theirs[:first], "Etwas dazwischen", *theirs[first:-1]])
    assert "the target is 1 line behind from about line" in told
    # A shift shows in the first block that it fills for the most part.
    assert abs(int(told.split("about line ")[1].split(" ")[0].replace(",", "")) - first) <= 500


def test_lines_of_one_length_are_told_by_their_numbers(tmp_path: Path) -> None:
    ours, theirs = (
        [f"{word} {number:05}" for number in range(90)] for word in ("Open the window of room", "Das Fenster im Zimmer")
    )
    assert faults(tmp_path, ours, theirs) == ""
    assert "of 90 lines with numbers or placeholders 0% have them" in faults(tmp_path, ours, theirs[45:] + theirs[:45])


def test_lines_in_the_order_of_their_length_do_not_pass_for_parallel(tmp_path: Path) -> None:
    places = np.random.default_rng(4).permutation(960)
    ours, theirs = ([f"{side[p % 48]} {p}" for p in places] for side in (ENGLISH, GERMAN))
    assert faults(tmp_path, ours, theirs) == ""
    assert "no more than by chance" in faults(tmp_path, sorted(ours, key=len), sorted(theirs, key=len))


def test_text_that_is_no_utf8_is_told(tmp_path: Path) -> None:
    source, target = written(tmp_path, "a", ENGLISH), tmp_path / "b"
    target.write_bytes("".join(f"{line}\n" for line in GERMAN).encode("latin-1"))
    foreign = sum(not line.isascii() for line in GERMAN)
    assert look(source, target).faults == [
        f"{foreign} of 48 are no UTF-8: write them anew, as by iconv -f LATIN1 -t UTF-8"
    ]


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"PK\3\4\0\0\0", '{"en": "One"}\n'.encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read"):
            look(path, None)
    path.write_bytes(b'<tmx version="1.4">')
    with pytest.raises(ConfigError, match="give it as --pairs"):
        look(path, None)
    path = tmp_path / "a.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match="cannot be read"):
        look(path, None)
    with pytest.raises(ConfigError, match="no such file"):
        look(tmp_path / "none", None)


def table_files(folder: Path) -> dict[str, Path]:
    """The same pairs in every format that has columns."""
    table = pa.table({"translation": [{"de": german, "en": english} for english, german in PAIRS]})
    pq.write_table(table, folder / "a.parquet")
    lines = [json.dumps({"translation": {"de": german, "en": english}}) for english, german in PAIRS]
    rows = [f"{english}\t{german}" for english, german in PAIRS]
    named = ["note\tde\ten", *(f"x\t{german}\t{english}" for english, german in PAIRS)]
    quoted = ["de,en", *(f'"{german}","{english}"' for english, german in PAIRS)]
    files = {"a.jsonl": lines, "two.tsv": rows, "named.tsv.gz": named, "a.csv": quoted}
    return {"a.parquet": folder / "a.parquet", **{name: written(folder, name, text) for name, text in files.items()}}


def test_tables_are_read_by_the_columns_that_they_name(tmp_path: Path) -> None:
    files = table_files(tmp_path)
    nested = {"source_column": "translation.en", "target_column": "translation.de"}
    columns = {
        "a.parquet": {"kind": "parquet", "path": str(files["a.parquet"]), **nested},
        "a.jsonl": {"kind": "jsonl", "source_field": "translation.en", "target_field": "translation.de"},
        "two.tsv": {"kind": "tsv", "source_column": 0, "target_column": 1},
        "named.tsv.gz": {"kind": "tsv", "source_column": "en", "target_column": "de"},
        "a.csv": {"kind": "tsv", "source_column": "en", "target_column": "de", "separator": ",", "quoted": True},
    }
    for name, expected in columns.items():
        given = table_source(files[name], BOTH)
        assert expected.items() <= given.keys.items(), name
        found = look_at(given, BOTH)
        assert (found.lines, found.faults) == (len(PAIRS), []), name
        assert found.notes[2].startswith("lines belong together"), name


def test_columns_that_cannot_be_told_are_left_open(tmp_path: Path) -> None:
    path = written(tmp_path, "wide.tsv", [f"{n}\t{pair[0]}\t{pair[1]}" for n, pair in enumerate(PAIRS)])
    found = look_at(table_source(path, BOTH), BOTH)
    assert found.faults == [
        f"source_column, target_column: which of its 3 columns are meant? 0, {', '.join(t[:30] for t in PAIRS[0])}"
    ]
    with pytest.raises(ConfigError, match="holds no pairs"):
        table_source(written(tmp_path, "a.en", ENGLISH), BOTH)


def read_back(folder: Path, *looks: Look, tests: tuple[Look, ...] = (), teacher: str = str(TEACHER)) -> Recipe:
    path = folder / "my.toml"
    path.write_text(recipe_text(Wanted("en", "de", looks, tests, find_teacher(teacher, BOTH))))
    return read_recipe(path)


def test_what_is_written_is_a_recipe_without_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpora = [
        look(written(tmp_path, "a.en", ENGLISH), written(tmp_path, "a.de", GERMAN)),
        *(look_at(table_source(path, BOTH), BOTH) for path in table_files(tmp_path).values()),
        look(written(tmp_path, "a.more.en", ENGLISH), None),
    ]
    tests = look(written(tmp_path, "t.en", ENGLISH[:5]), written(tmp_path, "t.de", GERMAN[:5]))
    recipe = read_back(tmp_path, *corpora, tests=(tests,))
    assert {"decode", "score", "student", "baseline", "report"} <= {node.name for node in recipe.graph.nodes}
    corpus = recipe.graph["corpus"].config.model_dump()
    assert [source["name"] for source in corpus["sources"]] == ["a", "a-2", "a-3", "two", "named", "a-4", "a-5"]
    assert [source["name"] for source in corpus["test_sets"]] == ["test-t"]


def test_without_references_nothing_of_them_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = read_back(tmp_path, look(written(tmp_path, "a.en", ENGLISH), None))
    assert "baseline" not in {node.name for node in recipe.graph.nodes}
    assert recipe.graph["select"].config.model_dump()["metric"] == "score"


@pytest.mark.parametrize("parallel", [True, False])
def test_beside_given_translations_nothing_is_asked_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = written(tmp_path, "a.de", GERMAN) if parallel else None
    corpus = look(written(tmp_path, "a.en", ENGLISH), theirs)
    found = find_teacher(str(written(tmp_path, "t.jsonl", ["{}"])), BOTH)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text(Wanted(*BOTH, [corpus], [], found)), encoding="utf-8")
    recipe = read_recipe(path)
    assert recipe.graph["decode"].module == "stages.given.encode"
    assert recipe.graph["select"].config.model_dump()["metric"] == ("chrf" if parallel else "mbr-chrf")


def test_a_recipe_with_a_mark_is_refused_with_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    swapped = look(written(tmp_path, "a", GERMAN), written(tmp_path, "b", ENGLISH))
    with pytest.raises(ConfigError) as refused:
        read_back(tmp_path, swapped, teacher="google/madlad400-3b-mt")
    first, *rest = str(refused.value).splitlines()
    assert first.endswith("2 faults")
    assert [line.split(": ")[0] for line in rest] == [f"corpus.sources[0].{OPEN}", f"teacher.{OPEN}"]
    assert "the sides are swapped" in rest[0]
    text = (tmp_path / "my.toml").read_text()
    open_keys = re.compile(rf"^{OPEN} = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)
    (tmp_path / "my.toml").write_text(open_keys.sub("", text))
    assert read_recipe(tmp_path / "my.toml").graph.nodes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a corpus and with a shifted one."""
    monkeypatch.chdir(tmp_path)
    for name, lines in {"a.en": ENGLISH, "a.de": GERMAN, "shifted.de": ["Davor", *GERMAN[:-1]]}.items():
        written(tmp_path, name, lines)
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


SAID = ("--from", "en", "--to", "de", "--teacher", str(TEACHER))


def test_the_command_says_what_it_saw_and_what_to_type_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("new", "my.toml", "--source", "a.en", "--target", "a.de", *SAID) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "  potstill plan my.toml             # what would run",
        "  potstill estimate my.toml         # how long it takes here",
        "  potstill run my.toml              # all of it; goes on where it was stopped",
    ]
    kept = Path("my.toml").read_bytes()
    shifted = ("new", "my.toml", "--source", "a.en", "--target", "shifted.de", *SAID)
    assert (call(*shifted), Path("my.toml").read_bytes()) == (2, kept)
    assert "my.toml is there already" in capsys.readouterr().err
    assert call(*shifted, "--force") == 1
    assert "  TODO: the target is 1 line behind" in capsys.readouterr().out
    assert call("plan", "my.toml") == 2
    assert "corpus.sources[0].TODO: the target is 1 line behind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("new", "none/my.toml", "--source", "a.en", "--target", "a.de", *SAID),
            "none/my.toml: there is no such folder",
        ),
        (("new", "my.toml", "--source", "a.en", *SAID), "--source is given 1 times and --target 0"),
        (("new", "my.toml", "--monolingual", "none.en", *SAID), "none.en: no such file"),
        (("new", "my.toml", "--monolingual", "a.en"), "--from: not given"),
        (("new", "my.toml", "--monolingual", "a.en", *SAID, "--to", "germn"), "--to: 'germn' is no known language"),
        (("new", "my.toml", "--monolingual", "a.en", *SAID, "--to", "en"), "--from and --to are both en"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert call(*arguments) == 2
    assert told in capsys.readouterr().err
    assert not list(folder.rglob("*.toml"))


def test_on_a_terminal_it_asks(folder: Path) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.environ |= {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        command = [sys.executable, "-m", "pipeline.cli", "new", "my.toml", "--source", "a.en", "--target", "a.de"]
        os.execv(sys.executable, command)  # noqa: S606
    seen = b""
    for question, answer in ((b"from: ", b"en"), (b"to: ", b"de"), (b"teacher: ", str(TEACHER).encode())):
        while not seen.endswith(question):
            seen += os.read(terminal, 1000)
        os.write(terminal, answer + b"\n")
    with contextlib.suppress(OSError):  # of a terminal that nobody has open any more
        while part := os.read(terminal, 1000):
            seen += part
    assert os.waitpid(process, 0)[1] == 0, seen.decode()
    assert 'target_language = "de"' in (folder / "my.toml").read_text()


@pytest.mark.slow
def test_what_is_written_runs(folder: Path) -> None:
    assert call("new", "my.toml", "--source", "a.en", "--target", "a.de", *SAID) == 0
    small = ["student.optimiser.steps=3", "student.model.width=32", "student.model.heads=2", "corpus.test_fraction=0.2"]
    options = [part for each in small for part in ("--set", each)]
    command = [sys.executable, "-m", "pipeline.cli", "run", "my.toml", "--plain", "--until", "student", *options]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.glob("runs/my/student-*/checkpoint.pt"))
