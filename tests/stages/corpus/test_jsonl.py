"""JSON lines, globs of shards and archives of OPUS; the oracles are json, pandas and what was written."""

import gzip
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from stages.corpus import stage as corpus
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.sources import JsonlSource
from tests.fixtures.corpora import make_corpus

RECORDS: list[dict[str, Any]] = [
    {"id": 1, "translation": {"en": "One", "de": "Eins"}, "tags": ["a", {"text": "deep"}]},
    {"id": 2, "translation": {"en": "Two\nlines \U0001f642", "de": None}},
]
FIELDS = {"source_field": "translation.en", "target_field": "translation.de"}


def jsonl(path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "jsonl", "name": "a", "file": str(path), **options}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)])
def test_fields_are_read_by_name_plain_and_packed(tmp_path: Path, suffix: str, pack: Any) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(pack(b"\xef\xbb\xbf" + "\n\n".join(json.dumps(record) for record in RECORDS).encode()))
    made = make_corpus(tmp_path, jsonl(path, **FIELDS))
    assert sorted(made.pairs(), key=str) == [("One", "Eins"), ("Two lines \U0001f642", None)]
    assert sorted(row["location"] for row in made.rows) == [f"{path.name}:1", f"{path.name}:3"]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), max_size=40)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries({"en": TEXT, "de": st.none() | TEXT}), min_size=1, max_size=8), st.booleans())
def test_what_pandas_writes_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    pd.DataFrame(records).to_json(path, orient="records", lines=True, force_ascii=ascii_only)
    source = JsonlSource.model_validate(jsonl(path, source_field="en", target_field="de"))
    found = [(row.source, row.reference) for row in Origin("", source, "en", "de", False).rows(2000)]
    assert found == [(record["en"], record["de"]) for record in records]


def test_bad_lines_are_rejected_with_their_reasons(tmp_path: Path) -> None:
    good = '{"en": "One", "de": "Eins"}'
    lines = [
        '{"en": "Zero"', good, '["One", "Eins"]', '{"de": "Zwei"}', '{"en": 3, "de": "3"}', '{"en": null, "de": "x"}',
        '{"en": "Four"}', '{"en": "\\ud800", "de": "x"}', '{"en": "Five", "de": ""}', "[" * 100_000, "1" * 10_000,
        '{"en": {"a": 1}, "de": "x"}',
    ]  # fmt: skip
    made = make_corpus(tmp_path, jsonl(write(tmp_path / "a.jsonl", *lines), source_field="en", target_field="de"))
    assert sorted(made.pairs()) == [("Five", None), ("One", "Eins")]
    assert [(row["location"].rpartition(":")[2], row["reason"]) for row in made.rejects] == [
        ("1", "not_json"), ("3", "not_json"), ("4", "no_field"), ("5", "not_text"), ("6", "empty_source"),
        ("7", "no_field"), ("8", "not_utf8"), ("10", "not_json"), ("11", "not_json"), ("12", "not_text"),
    ]  # fmt: skip
    counts = made.metrics["sources"]["a"]
    assert counts["read"] == 12 == sum(counts["kept"].values()) + sum(counts["dropped"].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"source_field": "translation.eng"},
            r"none of its first 2 objects has 'translation.eng'; did you mean tr",
        ),
        ({"source_field": "text"}, r"none of its first 2 objects has 'text'; they have id, tags, translation\.de, tr"),
        ({"source_field": "translation.en", "target_field": "de"}, r"none of its first 2 objects has 'de'"),
    ],
)
def test_a_field_that_no_object_has_is_named(tmp_path: Path, options: dict[str, str], message: str) -> None:
    path = write(tmp_path / "a.jsonl", *map(json.dumps, RECORDS))
    with pytest.raises(DataError, match=message):
        make_corpus(tmp_path, jsonl(path, **options))


def test_lists_and_literal_dots_are_fields_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a.b": "One", "c": [{"d": "Eins"}]}')
    made = make_corpus(tmp_path, jsonl(path, source_field="a.b", target_field="c.0.d"))
    assert made.pairs() == [("One", "Eins")]


@pytest.mark.parametrize(
    ("content", "message"), [("One\nTwo\n", "none of its first 2 lines is an object of JSON"), ("a\tb\nc\td\n", "tsv")]
)
def test_lines_that_are_no_json_at_all_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        make_corpus(tmp_path, jsonl(tmp_path / "a.jsonl"))


def sides(folder: Path, source: str = "en/*.txt", target: str = "de/*.txt") -> dict[str, Any]:
    return {"kind": "text", "name": "a", "source_file": f"{folder}/{source}", "target_file": f"{folder}/{target}"}


def test_shards_are_paired_by_what_their_wildcards_stand_for(tmp_path: Path) -> None:
    for number, (text, translation) in enumerate([("One", "Eins"), ("Two", "Zwei"), ("Three", "Drei")]):
        write(tmp_path / f"en/part-{9 - number}.txt", text)
        write(tmp_path / f"de/part-{9 - number}.txt", translation)
    made = make_corpus(tmp_path, sides(tmp_path))
    assert sorted(made.pairs()) == [("One", "Eins"), ("Three", "Drei"), ("Two", "Zwei")]
    assert {row["source"]: row["location"] for row in made.rows}["Two"] == "part-8.txt:1"
    few = make_corpus(tmp_path, sides(tmp_path, "en/part-[89].t?t", "de/part-[!7].t?t"))
    assert sorted(few.pairs()) == [("One", "Eins"), ("Two", "Zwei")]


def test_shards_may_lie_deep_and_be_packed(tmp_path: Path) -> None:
    for language, text in (("en", "One"), ("de", "Eins")):
        (tmp_path / "2024" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"2024/a/0.{language}.gz").write_bytes(gzip.compress(text.encode()))
    made = make_corpus(tmp_path, sides(tmp_path, "**/*.en.gz", "**/*.de.gz"))
    assert made.pairs() == [("One", "Eins")]
    assert make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": f"{tmp_path}/**/*.en.gz"}).pairs() == [
        ("One", None)
    ]


def test_a_shard_without_its_partner_or_of_another_length_is_named(tmp_path: Path) -> None:
    for name in ("en/1.txt", "en/2.txt", "de/1.txt"):
        write(tmp_path / name, "Text")
    with pytest.raises(DataError, match=r"has 2 files and .* has 1; no partner.* have 1: .*en/2\.txt"):
        make_corpus(tmp_path, sides(tmp_path))
    write(tmp_path / "de/2.txt", "Text", "and more")
    with pytest.raises(DataError, match=r"en/2\.txt has 1 lines and .*de/2\.txt has 2"):
        make_corpus(tmp_path, sides(tmp_path))
    with pytest.raises(DataError, match=r"fr/\*\.txt: no file matches"):
        make_corpus(tmp_path, sides(tmp_path, target="fr/*.txt"))


def test_a_name_with_wildcards_that_is_there_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a[1].txt", "One")
    made = make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": f"{tmp_path}/a[1].txt"})
    assert made.pairs() == [("One", None)]


def test_globs_of_jsonl_and_of_members_are_read(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"j/{number}.jsonl", json.dumps({"source": f"Text {number}"}))
    made = make_corpus(tmp_path, jsonl(tmp_path / "j" / "*.jsonl"))
    assert sorted(row["location"] for row in made.rows) == ["0.jsonl:1", "1.jsonl:1", "2.jsonl:1"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed, tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for path in sorted((tmp_path / "j").iterdir()):
            packed.write(path, f"in/{path.name}")
            tar.add(path, f"./in/{path.name}")
    for archive in ("zip://in/*.jsonl::a.zip", "tar://in/*.jsonl::a.tar.gz"):
        kind, _, name = archive.partition("::")
        again = make_corpus(tmp_path, {"kind": "jsonl", "name": "a", "file": f"{kind}::{tmp_path / name}"})
        assert sorted(again.pairs()) == sorted(made.pairs())


def test_files_of_a_glob_and_archives_belong_to_the_fingerprint(tmp_path: Path) -> None:
    write(tmp_path / "en/1.txt", "One")
    write(tmp_path / "de/1.txt", "Eins")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x.en", "One\n")
    sources = [sides(tmp_path), {"kind": "text", "name": "b", "source_file": f"zip://x.en::{tmp_path}/a.zip"}]
    content = {"source_language": "en", "target_language": "de", "sources": sources}
    config = corpus.Config.model_validate(content)
    assert {path.relative_to(tmp_path).as_posix() for path in corpus.external_files(config)} == {
        "en/1.txt", "de/1.txt", "a.zip",
    }  # fmt: skip
    assert corpus.faults(config) == []
    (tmp_path / "a.zip").unlink()
    assert [fault.partition(":")[0] for fault in corpus.faults(config)] == ["corpus.sources[1].source_file"]


def opus(folder: Path, **members: str) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "de-en.txt.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return {"kind": "opus", "name": "a", "file": str(folder / "de-en.txt.zip")}


MOSES = {
    "README": "x\n",
    "LICENSE": "y\n",
    "B.de-en.de": "Eins\nZwei\n",
    "B.de-en.en": "One\nTwo\n",
    "B.de-en.xml": "<a/>",
}


def test_an_archive_of_opus_is_one_line(tmp_path: Path) -> None:
    made = make_corpus(tmp_path, opus(tmp_path, **MOSES))
    assert sorted(made.pairs()) == [("One", "Eins"), ("Two", "Zwei")]
    assert made.rows[0]["location"].startswith("zip://B.de-en.en::de-en.txt.zip:")
    regional = {**MOSES, "B.de-en.de": "x\n", "B.de-en.de_CH": "Eis\nZwo\n"}
    made = make_corpus(tmp_path, opus(tmp_path, **regional) | {"target_code": "de-CH"})
    assert sorted(made.pairs()) == [("One", "Eis"), ("Two", "Zwo")]


def test_an_archive_of_other_languages_lists_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no members end with \.fi; it has B\.de-en\.de, B\.de-en\.en"):
        make_corpus(tmp_path, opus(tmp_path, **MOSES), target_language="fi")
    with pytest.raises(DataError, match=r"has 2 lines and .* has 1"):
        make_corpus(tmp_path, opus(tmp_path, **{**MOSES, "B.de-en.de": "Eins\n"}))
    (tmp_path / "no.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"no\.zip cannot be read: .*expected a zip archive"):
        make_corpus(tmp_path, {"kind": "opus", "name": "a", "file": str(tmp_path / "no.zip")})
