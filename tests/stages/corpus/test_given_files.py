"""Files as people have them: other encodings, tables that are called text, pipes, folders, numbers without end."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data.errors import DataError
from data.fingerprint import path_digest
from stages.corpus import stage as corpus
from stages.corpus.readers.files.formats import recognise
from tests.fixtures.corpora import make_corpus, tsv

PAIRS = [(f"The size of room {number} matters", f"Die Größe von Raum {number} zählt") for number in range(30)]
LINES = "".join(f"{target}\n" for _, target in PAIRS)


def text(path: Path, content: bytes | str, **options: Any) -> dict[str, Any]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"kind": "text", "name": path.name.replace(".", "-"), "source_file": str(path), **options}


def good(folder: Path) -> dict[str, Any]:
    return tsv(folder, "good", PAIRS)


# Much that cannot be read.


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250", "gb18030", "shift_jis", "cp1251"])
def test_a_file_in_another_encoding_is_told_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    line = {"gb18030": "这是一个文本", "shift_jis": "これはテキストです", "cp1251": "Это текст"}.get(encoding, "Größe")
    lines = "".join(f"{line} {number}\n" if number % 2 else f"plain {number}\n" for number in range(60))
    made = make_corpus(tmp_path, good(tmp_path), text(tmp_path / "a.de", lines.encode(encoding)))
    [told] = made.metrics["warnings"]
    assert told.startswith("a-de: 30 of 60 rows (50.0%) were not taken, not_utf8: the file may be in another encoding")
    assert "iconv" in told
    assert [line.split(": ")[0] for line in told.split("\n")[1:]] == ["  a.de:2", "  a.de:4", "  a.de:6"]


def test_nothing_is_told_of_a_clean_corpus_or_of_single_bad_lines(tmp_path: Path) -> None:
    bad = LINES.encode() * 20 + b"\xff\xfe bad\n" * 4
    assert make_corpus(tmp_path, good(tmp_path), text(tmp_path / "a.de", bad)).metrics["warnings"] == []


def test_other_ways_to_lose_most_of_a_source_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"en": {number}, "de": "x"}}\n' for number in range(30)))
    (tmp_path / "e.en").write_text(" \n" * 30)
    sources = [
        good(tmp_path),
        {"kind": "jsonl", "name": "numbers", "file": str(tmp_path / "a.jsonl"), "source_field": "en"},
        {"kind": "text", "name": "spaces", "source_file": str(tmp_path / "e.en")},
        text(tmp_path / "none.en", ""),
    ]
    told = make_corpus(tmp_path, *sources).metrics["warnings"]
    assert [one.split(";")[0].split("\n")[0] for one in told] == [
        "numbers: 30 of 30 rows (100.0%) were not taken, not_text: the field or column may be another one than the "
        "text's",
        "spaces: 30 of 30 rows (100.0%) were not taken, empty_source: the sides or columns may be other ones",
        "none-en: nothing was read, it has no rows",
    ]


# Ends of lines.


def test_a_test_set_with_ends_of_windows_is_scored_without_them(tmp_path: Path) -> None:
    (tmp_path / "t.en").write_bytes(b"One  two\r\nThree \r\nFour\rfive\r\n")
    (tmp_path / "t.de").write_bytes(b"Eins\r\nDrei\r\nVier\r\n")
    given = {
        "kind": "text", "name": "t", "source_file": str(tmp_path / "t.en"), "target_file": str(tmp_path / "t.de")
    }  # fmt: skip
    made = make_corpus(tmp_path, good(tmp_path), test_sets=[given])
    assert made.pairs("test") == [("One  two", "Eins"), ("Three ", "Drei"), ("Four\rfive", "Vier")]


# JSON.


def test_a_number_of_thousands_of_digits_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"source": "a", "n": {"9" * 5000}}}\n{{"source": {"9" * 5000}}}\n')
    made = make_corpus(tmp_path, {"kind": "jsonl", "name": "a", "file": str(tmp_path / "a.jsonl")})
    assert (made.pairs(), made.reasons()) == ([("a", None)], ["not_text"])
    for language, word in (("en", "Hello"), ("de", "Hallo")):
        (tmp_path / f"{language}.json").write_text(f'{{"n": {"9" * 5000}, "a": "{word}"}}')
    catalog = {"kind": "catalog", "name": "a", "path": str(tmp_path), "pattern": "{language}.json"}
    assert make_corpus(tmp_path, catalog).pairs() == [("Hello", "Hallo")]


def test_half_of_a_surrogate_pair_is_no_traceback_in_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"\\ud800": "a"}\n')
    with pytest.raises(DataError) as told:
        make_corpus(tmp_path, {"kind": "jsonl", "name": "a", "file": str(tmp_path / "a.jsonl")})
    assert "they have \\ud800" in str(told.value).encode().decode()


@pytest.mark.parametrize("field", ["a." + "9" * 5000, "a.²", ".", "..", "a.0.0.0"])
def test_a_field_that_is_no_place_is_no_traceback(tmp_path: Path, field: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": ["x"]}\n')
    with pytest.raises(DataError, match="none of its first 1 objects has"):
        make_corpus(tmp_path, {"kind": "jsonl", "name": "a", "file": str(tmp_path / "a.jsonl"), "source_field": field})


def test_a_list_with_an_item_a_line_is_no_jsonl(tmp_path: Path) -> None:
    """Each item but the last ends with a comma, so that one row of thirty would be left."""
    items = ",\n".join(json.dumps({"source": source}) for source, _ in PAIRS)
    (tmp_path / "a.jsonl").write_text(f"[\n{items}\n]\n")
    with pytest.raises(DataError, match=r"1 of its first 32 lines is an object of JSON.*jq -c"):
        make_corpus(tmp_path, {"kind": "jsonl", "name": "a", "file": str(tmp_path / "a.jsonl")})


# Tables.


@pytest.mark.parametrize(
    ("separator", "key"), [(",", "csv"), (";", "semicolons"), ("\t", "tsv"), (" ||| ", "bars"), (" - ", None)]
)
def test_a_table_that_is_called_text_is_known_by_its_columns(separator: str, key: str | None) -> None:
    found = recognise("".join(f"{separator.join(pair)}\n" for pair in PAIRS).encode())
    assert (found.key if found else None) == key


@pytest.mark.parametrize("separator", [",", ";"])
def test_values_between_commas_are_no_text_and_no_table_of_tabs(tmp_path: Path, separator: str) -> None:
    content = "".join(f"{separator.join(pair)}\n" for pair in PAIRS)
    with pytest.raises(DataError, match=rf'separator = "{separator}".*anything = true'):
        make_corpus(tmp_path, text(tmp_path / "a.csv", content))
    path = str(tmp_path / "a.csv")
    with pytest.raises(DataError, match=rf'separator = "{separator}"'):
        make_corpus(tmp_path, {"kind": "tsv", "name": "a", "file": path})
    read = make_corpus(tmp_path, {"kind": "tsv", "name": "a", "file": path, "separator": separator, "target_column": 1})
    assert sorted(read.pairs()) == sorted(PAIRS)
    assert len(make_corpus(tmp_path, text(tmp_path / "a.csv", content, anything=True)).rows) == 30


def test_sentences_with_commas_are_text() -> None:
    lines = [
        "Yes, it is.",
        "No.",
        "First, second, third.",
        'He said, "no".',
        *(f"Well, {n} of them." for n in range(30)),
    ]
    assert recognise("\n".join(lines).encode()) is None
    assert recognise(b"a,b\nc,d\ne,f\n") is None, "three lines are too few to tell"
    for mark in ",;":
        made = "".join(f"Turn on the light{mark} number {number}.\n" for number in range(30))
        assert recognise(made.encode()) is None, "lines made from one pattern"


def test_a_table_whose_every_record_goes_over_lines_is_read(tmp_path: Path) -> None:
    content = "".join(f'"{source}\nmore"\t"{target}\nmehr"\n' for source, target in PAIRS)
    (tmp_path / "a.tsv").write_text(content)
    source = {"kind": "tsv", "name": "a", "file": str(tmp_path / "a.tsv"), "target_column": 1, "quoted": True}
    expected = sorted((f"{source} more", f"{target} mehr") for source, target in PAIRS)
    assert sorted(make_corpus(tmp_path, source).pairs()) == expected


# Columns.


def parquet(folder: Path, table: pa.Table, **options: Any) -> dict[str, Any]:
    pq.write_table(table, folder / "a.parquet")
    return {"kind": "parquet", "name": "a", "path": str(folder / "a.parquet"), **options}


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    ids=str,
)
@pytest.mark.parametrize("coded", [False, True])
def test_text_of_any_type_is_read(tmp_path: Path, kind: pa.DataType, coded: bool) -> None:
    columns = [pa.array(side).cast(kind) for side in zip(*PAIRS, strict=True)]
    table = pa.table([column.dictionary_encode() if coded else column for column in columns], ["source", "target"])
    if not (coded and str(kind).endswith("_view")):  # pyarrow writes none of these as Parquet
        assert sorted(make_corpus(tmp_path, parquet(tmp_path, table, target_column="target")).pairs()) == sorted(PAIRS)
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    arrow = {"kind": "arrow", "name": "a", "path": str(tmp_path / "a.arrow"), "target_column": "target"}
    assert sorted(make_corpus(tmp_path, arrow).pairs()) == sorted(PAIRS)


@pytest.mark.parametrize("coded", [False, True])
def test_bytes_that_are_no_text_cost_their_row_alone(tmp_path: Path, coded: bool) -> None:
    column = pa.array([b"good", b"\xff\xfe", None, "größer".encode(), b"good again"])
    table = pa.table({"source": column.dictionary_encode() if coded else column})
    made = make_corpus(tmp_path, parquet(tmp_path, table))
    assert sorted(made.pairs()) == [("good", None), ("good again", None), ("größer", None)]
    assert sorted(made.reasons()) == ["empty_source", "not_utf8"]


def test_names_of_columns_with_dots_and_names_that_stand_twice(tmp_path: Path) -> None:
    sources = [source for source, _ in PAIRS]
    dotted = parquet(tmp_path, pa.table({"text.en": sources}), source_column="text.en")
    assert len(make_corpus(tmp_path, dotted).rows) == 30
    twice = pa.Table.from_arrays([pa.array(sources), pa.array(sources)], names=["source", "source"])
    with pytest.raises(DataError, match=r"a\.parquet: 2 columns are named source"):
        make_corpus(tmp_path, parquet(tmp_path, twice))


# Paths.


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "text", "source_file": "a.en", "target_file": "a.en"},
        {"kind": "tsv", "file": "a.tsv", "source_column": 1, "target_column": 1},
        {"kind": "jsonl", "file": "a.jsonl", "source_field": "en", "target_field": "en"},
        {"kind": "parquet", "path": "a.parquet", "source_column": "en", "target_column": "en"},
        {"kind": "arrow", "path": "a.arrow", "source_column": "en", "target_column": "en"},
    ],
    ids=lambda options: options["kind"],
)
def test_one_side_given_twice_is_a_fault_of_the_recipe(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="both are"):
        corpus.Config.model_validate(
            {"source_language": "en", "target_language": "de", "sources": [{"name": "a", **options}]}
        )


def config(**options: Any) -> corpus.Config:
    return corpus.Config.model_validate(
        {"source_language": "en", "target_language": "de", "sources": [{"kind": "text", "name": "a", **options}]}
    )


def test_folders_and_pipes_are_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    [told] = corpus.faults(config(source_file=str(tmp_path / "folder")))
    assert "expected a file, found a folder" in told
    assert f"{tmp_path}/folder/*" in told
    [told] = corpus.faults(config(source_file=str(tmp_path / "pipe")))
    assert "found a pipe or a device" in told
    assert corpus.external_files(config(source_file=str(tmp_path / "pipe"))) == []


def test_a_path_in_the_home_folder_belongs_to_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.en").write_text("One\n")
    for path in ("~/a.en", "~/a.e*"):
        assert corpus.faults(config(source_file=path)) == []
        [found] = corpus.external_files(config(source_file=path))
        assert path_digest(found) == path_digest(tmp_path / "a.en")
