"""One damaged part costs what depends on it, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.errors import DataError
from stages.corpus.readers.messages import read_messages
from tests.fixtures.corpora import make_corpus

HEADERS = {
    "Language": "de",
    "POT-Creation-Date": "2024-01-01 10:00+0000",
    "PO-Revision-Date": "2024-01-01 10:00+0000",
    "Content-Type": "text/plain; charset=UTF-8",
    "Plural-Forms": "nplurals=2; plural=(n != 1);",
}
BAD = {
    "Language": "??_XX!!",
    "POT-Creation-Date": "yesterday",
    "PO-Revision-Date": "2024-13-77 99:99+0000",
    "Content-Type": "text/plain; charset=CHARSET",
    "Plural-Forms": "nplurals=INTEGER; plural=EXPRESSION;",
}
MESSAGES = """
msgid "Language: {name}"
msgstr "Sprache: Plural-Forms: {name}"

msgid "a house"
msgid_plural "houses"
msgstr[0] "ein Haus"
msgstr[1] "Häuser"
"""


def catalog(headers: dict[str, str]) -> bytes:
    lines = "".join(f'"{name}: {value}\\n"\n' for name, value in headers.items())
    return f'# A catalog\nmsgid ""\nmsgstr ""\n{lines}{MESSAGES}'.encode()


RIGHT = [("Language: {name}", "Sprache: Plural-Forms: {name}"), ("a house", "ein Haus"), ("houses", "Häuser")]


@pytest.mark.parametrize("bad", [[], *([name] for name in BAD), [*BAD]], ids=lambda bad: "+".join(bad) or "none")
def test_a_bad_header_of_a_catalog_costs_no_message(bad: list[str]) -> None:
    found = list(read_messages(catalog(HEADERS | {name: BAD[name] for name in bad}), "a.po"))
    assert [(message.source, message.translation) for message in found] == RIGHT
    assert [message.location for message in found] == ["a.po:10", "a.po:13", "a.po:13[plural]"]


def test_plurals_are_as_many_as_a_catalog_with_a_bad_header_has() -> None:
    content = catalog(HEADERS | {"Plural-Forms": BAD["Plural-Forms"]}) + 'msgstr[2] "viele Häuser"\n'.encode()
    found = list(read_messages(content, "a.po"))
    assert [message.translation for message in found][1:] == ["ein Haus", "viele Häuser"]
    content = catalog(HEADERS) + 'msgstr[2] "viele Häuser"\n'.encode()  # more than its header says
    assert len(list(read_messages(content, "a.po"))) == 3


def test_a_header_may_go_over_lines_and_the_file_begin_with_a_mark() -> None:
    content = catalog(HEADERS).replace(b"nplurals=2; plural=(n", b'nplurals=X;"\n" plural=(n')
    assert [(found.source, found.translation) for found in read_messages(b"\xef\xbb\xbf" + content, "a.po")] == RIGHT


def test_a_catalog_that_is_a_list_of_pairs_is_refused(tmp_path: Path) -> None:
    flat = [{"id": "1", "en": "One", "de": "Eins"}]
    for document in (flat, [{"id": 1, "translation": flat[0]}], {"version": 1, "data": flat}):
        (tmp_path / "en.json").write_text(json.dumps(document))
        with pytest.raises(DataError, match=r"en\.json: a list of objects that hold texts in de and en.*jsonl"):
            make_corpus(tmp_path, {"kind": "catalog", "name": "a", "path": str(tmp_path), "pattern": "{language}.json"})


def test_names_of_languages_are_no_list_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text(json.dumps({"languages": {"en": "English", "de": "German"}, "list": ["One"]}))
    source = {"kind": "catalog", "name": "a", "path": str(tmp_path), "pattern": "{language}.json"}
    assert sorted(made[0] for made in make_corpus(tmp_path, source).pairs()) == ["English", "German", "One"]


def test_a_catalog_of_which_no_file_can_be_read_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"en": "One", "de": "Eins"}\n{"en": "Two", "de": "Zwei"}\n')
    with pytest.raises(DataError, match=r"none of its 1 files can be read; en\.json: .*kind = \"jsonl\" reads it"):
        make_corpus(tmp_path, {"kind": "catalog", "name": "a", "path": str(tmp_path), "pattern": "{language}.json"})


def test_hidden_and_temporary_files_of_a_folder_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("part-0", "_temporary/0/part-1", ".part-2", "a/.hidden/part-3", "_part-4", "a/part-5"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"source": [f"Text of {name}"]}).to_parquet(folder / f"{name}.parquet")
    (folder / "._part-0.parquet").write_bytes(b"\0\5\x16\7")
    expected = ["Text of a/part-5", "Text of part-0"]
    for path in (folder, f"{folder}/**/*.parquet"):
        made = make_corpus(tmp_path, {"kind": "parquet", "name": "a", "path": str(path)})
        assert sorted(row["source"] for row in made.rows) == expected
        assert made.metrics["sources"]["a"]["dropped"] == {"skipped_file": 5}
        assert {row["location"] for row in made.rejects} >= {"._part-0.parquet", "_temporary/0/part-1.parquet"}
    named = make_corpus(tmp_path, {"kind": "parquet", "name": "a", "path": str(folder / "_part-4.parquet")})
    assert named.pairs() == [("Text of _part-4", None)]


def table(folder: Path, content: bytes, **options: Any) -> dict[str, Any]:
    (folder / "a.tsv").write_bytes(content)
    return {"kind": "tsv", "name": "a", "file": str(folder / "a.tsv"), "target_column": 1, **options}


GOOD = b"One\tEins\nTwo\tZwei\nThree\tDrei\n"
READ = [("One", "Eins"), ("Three", "Drei"), ("Two", "Zwei")]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"no column at all", "wrong_columns"),
        (b"one\ttoo\tmany", "wrong_columns"),
        (b"Z\xff\xferow\tNull", "not_utf8"),
        (b"", "wrong_columns"),
        (b"x" * 400_000, "too_long"),
    ],
)
def test_a_damaged_first_line_of_a_table_costs_itself(tmp_path: Path, quoted: bool, first: bytes, reason: str) -> None:
    made = make_corpus(tmp_path, table(tmp_path, first + b"\n" + GOOD, quoted=quoted))
    assert sorted(made.pairs()) == READ
    assert made.reasons() == [reason]


def test_a_stray_quote_in_the_first_line_costs_that_line(tmp_path: Path) -> None:
    made = make_corpus(tmp_path, table(tmp_path, b'"Zero\tNull\n' + GOOD, quoted=True))
    assert sorted(made.pairs()) == READ
    assert made.reasons() == ["wrong_columns"]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("first", [b"en", b"e\xffn\tde", b"en\tde\tfr", b""])
def test_damaged_names_of_columns_are_named(tmp_path: Path, quoted: bool, first: bytes) -> None:
    columns = {"source_column": "en", "target_column": "de", "quoted": quoted}
    with pytest.raises(DataError, match=r"a\.tsv:1: the names of columns are expected here"):
        make_corpus(tmp_path, table(tmp_path, first + b"\n" + GOOD, **columns))


def test_the_first_record_may_go_over_lines(tmp_path: Path) -> None:
    content = b'"One\nand one"\tEins\n"Two\nand\ntwo"\t"Zwei\nund zwei"\n'
    made = make_corpus(tmp_path, table(tmp_path, content, quoted=True))
    assert sorted(made.pairs()) == [("One and one", "Eins"), ("Two and two", "Zwei und zwei")]


def test_one_column_with_separators_here_and_there_is_one_column(tmp_path: Path) -> None:
    content = b"".join(b"Text %d\n" % number for number in range(20)) + b"a\tb\n" * 3
    made = make_corpus(tmp_path, table(tmp_path, content, target_column=None))
    assert len(made.rows) == 20
    assert made.reasons() == ["wrong_columns"] * 3
