import gettext
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import write_po
from pydantic import ValidationError

from data.errors import DataError
from stages.corpus import stage as corpus
from stages.corpus.readers.wheel import fetch_wheel
from tests.fixtures.corpora import make_corpus

ENGLISH = {
    "title": "Door",
    "state": {"on": "Open {name}", "off": "Closed", "same": "O  K"},
    "list": ["First", "Second"],
    "link": "[%key:common::state::on%]",
    "number": 7,
    "half": "broken \ud800",
    "blank": "",
    "extra": "Only here",
}
GERMAN = {
    "title": "Tür",
    "state": {"on": "{name} öffnen", "off": "[%key:common::state::off%]", "same": "O K "},
    "list": ["Erste"],
    "link": "Verweis",
    "number": 7,
    "half": "kaputt",
    "gone": "Nur hier",
}
FOUND = [
    ("Closed", None),
    ("Door", "Tür"),
    ("First", "Erste"),
    ("O K", None),
    ("Only here", None),
    ("Open {name}", "{name} öffnen"),
    ("Second", None),
]


def catalog(path: Path, pattern: str, **options: Any) -> dict[str, Any]:
    return {"kind": "catalog", "name": "a", "path": str(path), "pattern": pattern, **options}


def write_json(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def house(folder: Path) -> Path:
    write_json(folder, "home/door/translations/en.json", ENGLISH)
    write_json(folder, "home/door/translations/de.json", GERMAN)
    write_json(folder, "home/lamp/translations/en.json", {"lamp": "Lamp"})
    write_json(folder, "home/door/deep/translations/en.json", {"deep": "Deep"})
    return folder


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        for path in sorted(folder.rglob("*.json")):
            stream.write(path, path.relative_to(folder))
        stream.writestr("../home/evil/translations/en.json", json.dumps({"evil": "Evil"}))
    return archive


@pytest.mark.parametrize("packed", [False, True])
def test_json_catalogs_pair_by_key(tmp_path: Path, packed: bool) -> None:
    folder = house(tmp_path / "tree")
    path = zipped(folder, tmp_path / "some.whl") if packed else folder
    made = make_corpus(tmp_path, catalog(path, "home/*/translations/{language}.json"))
    assert sorted(made.pairs(), key=str) == sorted([*FOUND, ("Lamp", None)], key=str)
    assert {row["source"]: row["location"] for row in made.rows}["First"] == "home/door/translations/en.json#list.0"
    assert made.metrics["sources"]["a"]["dropped"] == {
        "empty_source": 1,
        "key_reference": 1,
        "not_text": 1,
        "not_utf8": 1,
    }
    assert made.metrics["sources"]["a"]["without_reference"] == 5
    assert not (tmp_path / "home").exists()


def test_wildcards_of_a_pattern(tmp_path: Path) -> None:
    folder = house(tmp_path / "tree")
    deep = make_corpus(tmp_path, catalog(folder, "**/translations/{language}.json"))
    assert {"Deep", "Lamp", "Door"} <= {row["source"] for row in deep.rows}
    assert ("Door", "Tür") in deep.pairs()
    one = make_corpus(tmp_path, catalog(folder, "home/l*p/translations/{language}.json"))
    assert one.pairs() == [("Lamp", None)]


def test_untranslated_strings_can_be_rejected(tmp_path: Path) -> None:
    path = catalog(house(tmp_path / "tree"), "home/door/translations/{language}.json", untranslated="reject")
    made = make_corpus(tmp_path, path)
    assert sorted(made.pairs()) == sorted(pair for pair in FOUND if pair[1])
    assert made.metrics["sources"]["a"]["dropped"]["untranslated"] == 5


def test_a_catalog_may_be_read_for_its_sources_alone(tmp_path: Path) -> None:
    made = make_corpus(
        tmp_path, catalog(house(tmp_path / "tree"), "home/*/translations/{language}.json", monolingual=True)
    )
    assert sorted(made.pairs()) == sorted([(source, None) for source, _ in FOUND] + [("Lamp", None)])


def test_files_may_have_codes_of_their_own(tmp_path: Path) -> None:
    write_json(tmp_path, "l/english.json", {"a": "One"})
    write_json(tmp_path, "l/de_DE.json", {"a": "Eins"})
    source = catalog(tmp_path / "l", "{language}.json", source_code="english", target_code="de_DE")
    made = make_corpus(tmp_path, source)
    assert made.pairs() == [("One", "Eins")]


@pytest.mark.parametrize("content", [b'{"a": ', b'{"a": "\xff"}', b"[" * 100_000])
def test_one_unreadable_catalog_is_rejected_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    folder = house(tmp_path / "tree")
    (folder / "home/lamp/translations/en.json").write_bytes(content)
    made = make_corpus(tmp_path, catalog(folder, "home/*/translations/{language}.json"))
    assert sorted(made.pairs(), key=str) == FOUND
    rejected = [row for row in made.rejects if row["reason"] == "unreadable_file"]
    assert len(rejected) == 1
    assert rejected[0]["location"].startswith("home/lamp/translations/en.json: not JSON in UTF-8")


def test_a_damaged_member_of_an_archive_is_rejected(tmp_path: Path) -> None:
    archive = zipped(house(tmp_path / "tree"), tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as stream:
        info = stream.getinfo("home/lamp/translations/en.json")
    content[info.header_offset + 30 + len(info.filename) + 2] ^= 0xFF
    archive.write_bytes(content)
    made = make_corpus(tmp_path, catalog(archive, "home/*/translations/{language}.json"))
    assert made.reasons().count("unreadable_file") == 1
    assert ("Door", "Tür") in made.pairs()


def test_a_path_that_is_no_catalog_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"a\.whl: .*expected a folder, a zip or a wheel"):
        make_corpus(tmp_path, catalog(tmp_path / "a.whl", "{language}.json"))
    with pytest.raises(DataError, match="none of 4 files matches"):
        make_corpus(tmp_path, catalog(house(tmp_path / "tree"), "other/{language}.json"))


def german_catalog() -> Catalog:
    messages = Catalog(locale="de")
    messages.add("Door", "Tür")
    messages.add("Open", "Öffnen", context="verb", lineno=3)
    messages.add(("%(n)d lamp", "%(n)d lamps"), ("%(n)d Lampe", "%(n)d Lampen"))
    messages.add("Unsure", "Unsicher", flags=["fuzzy"])
    messages.add("New", "")
    return messages


GETTEXT_FOUND = [
    ("%(n)d lamp", "%(n)d Lampe"),
    ("%(n)d lamps", "%(n)d Lampen"),
    ("Door", "Tür"),
    ("New", None),
    ("Open", "Öffnen"),
]


def write_catalog(folder: Path, messages: Catalog, suffix: str) -> Path:
    path = folder / "locale" / "de" / f"app.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        write_po(stream, messages) if suffix == "po" else write_mo(stream, messages)
    return path


def test_po_catalogs(tmp_path: Path) -> None:
    write_catalog(tmp_path, german_catalog(), "po")
    made = make_corpus(tmp_path, catalog(tmp_path / "locale", "{language}/*.po"))
    assert sorted(made.pairs(), key=str) == GETTEXT_FOUND
    assert [(row["source"], row["reference"], row["reason"]) for row in made.rejects] == [
        ("Unsure", "Unsicher", "fuzzy")
    ]
    assert {row["source"]: row["location"] for row in made.rows}["%(n)d lamps"].endswith("[plural]")


@pytest.mark.parametrize("writer", ["babel", "msgfmt"])
def test_mo_catalogs(tmp_path: Path, writer: str) -> None:
    if writer == "babel":
        write_catalog(tmp_path, german_catalog(), "mo")
    else:
        path = write_catalog(tmp_path, german_catalog(), "po")
        try:
            subprocess.run(["msgfmt", str(path), "-o", str(path.with_suffix(".mo"))], check=True)
        except FileNotFoundError:
            pytest.skip("msgfmt of gettext is not installed")
    made = make_corpus(tmp_path, catalog(tmp_path / "locale", "{language}/*.mo"))
    # Neither entries without a translation nor unsure ones are in a .mo file.
    assert sorted(made.pairs(), key=str) == [pair for pair in GETTEXT_FOUND if pair[1]]


@pytest.mark.parametrize(("language", "forms"), [("ar", 6), ("ru", 3), ("ja", 1), ("sl", 4)])
def test_plurals_follow_the_rule_of_the_language(tmp_path: Path, language: str, forms: int) -> None:
    messages = Catalog(locale=language)
    messages.add(("%d lamp", "%d lamps"), tuple(f"form {number}" for number in range(forms)))
    made = make_corpus(tmp_path, catalog(write_catalog(tmp_path, messages, "po").parents[1], "{language}/app.po"))
    with write_catalog(tmp_path, messages, "mo").open("rb") as stream:
        oracle = gettext.GNUTranslations(stream)
    one, many = (oracle.ngettext("%d lamp", "%d lamps", number) for number in (1, 100))
    assert sorted(made.pairs()) == [("%d lamp", one), ("%d lamps", many)]


@pytest.mark.parametrize("suffix", ["po", "mo"])
def test_an_unreadable_gettext_catalog_is_rejected(tmp_path: Path, suffix: str) -> None:
    write_catalog(tmp_path, german_catalog(), suffix)
    for number, content in enumerate([b"", b"\xde\x12\x04\x95", b"\0" * 64, b"msgid \xff\xfe\nmsgstr", b"no catalog"]):
        (tmp_path / "locale" / "de" / f"{number}.{suffix}").write_bytes(content)
    made = make_corpus(tmp_path, catalog(tmp_path / "locale", f"{{language}}/*.{suffix}"))
    assert ("Door", "Tür") in made.pairs()
    # An empty .po file is a catalog without messages.
    assert made.reasons().count("unreadable_file") == (5 if suffix == "mo" else 4)


def write_wheel(folder: Path) -> Path:
    folder.mkdir()
    metadata = "Metadata-Version: 2.1\nName: tiny-house\nVersion: 1.0\nRequires-Python: >=3.99\n"
    files = {
        "home/en.json": json.dumps({"a": "One"}),
        "home/de.json": json.dumps({"a": "Eins"}),
        "tiny_house-1.0.dist-info/METADATA": metadata,
        "tiny_house-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_house-1.0.dist-info/RECORD": "",
    }
    path = folder / "tiny_house-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in files.items():
            stream.writestr(name, content)
    return path


def test_a_wheel_is_fetched_once_by_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digest = subprocess.run(["sha256sum", str(wheel)], capture_output=True, text=True, check=True).stdout.split()[0]
    options = {"wheel": "tiny-house==1.0", "python_version": "3.99", "pattern": "home/{language}.json"}
    source = {"kind": "catalog", "name": "a", "sha256": digest, **options}
    assert make_corpus(tmp_path, source).pairs() == [("One", "Eins")]
    wheel.unlink()
    assert make_corpus(tmp_path, source).pairs() == [("One", "Eins")]
    with pytest.raises(DataError, match=rf"found SHA-256 {digest}, expected 0000"):
        make_corpus(tmp_path, {**source, "sha256": "0" * 64})
    with pytest.raises(DataError, match=r"pip could not fetch tiny-house==2\.0: .*No matching distribution"):
        fetch_wheel("tiny-house==2.0", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wheel": "--index-url=evil"}, "expected a package with one version"),
        ({"wheel": "--index-url=evil a==1"}, "expected a package with one version"),
        ({"wheel": "a==1 --pre"}, "expected a package with one version"),
        ({"wheel": "homeassistant"}, "expected a package with one version"),
        ({"wheel": "a==1", "path": "b"}, "either wheel or path"),
        ({}, "either wheel or path"),
        ({"path": "b", "monolingual": True, "untranslated": "reject"}, "leave one of them out"),
        ({"path": "b", "pattern": "de.json"}, "expected {language} in it"),
        ({"path": "b", "pattern": "{language}.yaml"}, "expected {language} in it"),
    ],
)
def test_faulty_catalog_options_are_told(options: dict[str, str], message: str) -> None:
    source = {"kind": "catalog", "name": "a", "pattern": "{language}.json", **options}
    with pytest.raises(ValidationError, match=message):
        corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})


def test_only_the_files_that_are_read_are_fingerprinted(tmp_path: Path) -> None:
    folder = house(tmp_path / "tree")
    source = catalog(folder, "home/*/translations/{language}.json")
    config = corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})
    found = [path.relative_to(folder).as_posix() for path in corpus.external_files(config)]
    assert found == [
        f"home/{name}.json" for name in ("door/translations/de", "door/translations/en", "lamp/translations/en")
    ]


def test_keys_that_are_spelt_alike_with_dots_are_two(tmp_path: Path) -> None:
    write_json(tmp_path, "home/en.json", {"a.b": "Open", "a": {"b": "Close"}})
    write_json(tmp_path, "home/de.json", {"a.b": "Öffnen"})
    made = make_corpus(tmp_path, catalog(tmp_path, "home/{language}.json"))
    assert dict(made.pairs()) == {"Open": "Öffnen", "Close": None}
