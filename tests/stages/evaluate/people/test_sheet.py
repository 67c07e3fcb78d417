"""The blind sheet, read back by Python's csv module alone and by the code that scores it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DataError
from stages.evaluate.people.sheet import Key, escape, read_sheet, row_digest, unescape, write_sheet

COLUMNS = ["id", "source", "reference", "A", "B", "preference", "adequacy A", "adequacy B", "comment"]


def rows(number: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{place:032x}",
            "source": f"=source {place}",
            "reference": f"ref {place}",
            "source_language": "en",
            "target_language": "de",
            "teacher": f"@teacher, {place}",
            "student": f'-student "{place}"',
        }
        for place in range(number)
    ]


def write(path: Path, given: list[dict[str, Any]] | None = None, **options: Any) -> Path:
    options = {"systems": ("student", "teacher"), "sentences": 20, "seed": 1, "evaluation": "e" * 20, **options}
    return write_sheet(given or rows(), path, **options)


def plain(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_sheet_shows_both_systems_and_never_which_is_which(tmp_path: Path) -> None:
    key = json.loads(write(tmp_path / "sheet.csv").read_text(encoding="utf-8"))
    sheet = plain(tmp_path / "sheet.csv")
    assert list(sheet[0]) == COLUMNS
    assert len(sheet) == len({row["id"] for row in sheet}) == 20
    known = {row["id"]: row for row in rows()}
    for row in sheet:
        row = {name: cell.removeprefix("'") for name, cell in row.items()}
        first = key["rows"][row["id"]][0]
        shown = [row["A"], row["B"]]
        assert shown == [known[row["id"]][key["systems"][side]] for side in (first, 1 - first)]
        assert row["reference"] == known[row["id"]]["reference"]
        assert {row[name] for name in COLUMNS[5:]} == {""}
    sides = [first for first, _ in key["rows"].values()]
    assert 4 <= sum(sides) <= 16, "either system must come first now and then"
    assert (key["systems"], key["seed"], key["of"]) == (["student", "teacher"], 1, 40)


def test_where_there_are_several_directions_each_row_says_its_own(tmp_path: Path) -> None:
    several = rows()
    for row in several[::2]:
        row["target_language"] = "sv"
    key = Key.read(write(tmp_path / "sheet.csv", several))
    assert list(plain(tmp_path / "sheet.csv")[0]) == ["id", "direction", *COLUMNS[1:]]
    sheet = read_sheet(tmp_path / "sheet.csv")
    wanted = {row["id"]: row["target_language"] for row in several}
    names = {"sv": "English to Swedish", "de": "English to German"}
    assert [row["direction"] for row in sheet] == [names[wanted[row["id"]]] for row in sheet]
    assert len({row["direction"] for row in sheet}) == 2
    first = sheet[0]
    assert row_digest(first) == key.rows[first["id"]][1]
    assert row_digest(first | {"direction": "English to Danish"}) != key.rows[first["id"]][1]


def test_no_cell_begins_like_a_formula(tmp_path: Path) -> None:
    write(tmp_path / "sheet.csv")
    cells = [cell for row in plain(tmp_path / "sheet.csv") for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    found = {row["id"]: row for row in read_sheet(tmp_path / "sheet.csv")}
    for row in rows():
        if row["id"] in found:
            assert found[row["id"]]["source"] == row["source"]


@given(st.text("'=+-@\t\r ab1.e:", max_size=6))
def test_what_is_escaped_comes_back(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    with pytest.raises(ValueError, match="could not convert"):
        float(escape(text))


# What LibreOffice and Excel write for it.
REWRITTEN = {
    "1.50": "1.5",
    "007": "7",
    "1e5": "100000",
    "10:00": "10:00:00",
    "50 %": "50%",
    "true": "TRUE",
    "3/4": "4-Mar",
    "5 March 2024": "05/03/2024",
    "viernes, 5 de marzo de 2024": "05/03/2024",
    "2024年3月5日": "2024/3/5",
    "١٢": "12",
    "=1+1": "2",
}


@pytest.mark.parametrize("dropped", ["", "'"])
def test_a_spreadsheet_that_rewrites_numbers_and_dates_changes_no_text(tmp_path: Path, dropped: str) -> None:
    """The apostrophe is kept by those that take a file as it is, and dropped by those that read it as typed."""
    content = [
        {"id": "4711" * 8 if not place else f"ab{place}cd2ef3ab4cd5", "source": text, "teacher": "'90s", "student": "x"}
        for place, text in enumerate(REWRITTEN)
    ]
    for row in content:
        row |= {"reference": "The 2 of them are as they were.", "source_language": "en", "target_language": "de"}
    options: dict[str, Any] = {"systems": ("student", "teacher"), "sentences": 99, "seed": 1, "evaluation": "e"}
    key = Key.read(write_sheet(content, tmp_path / "sheet.csv", **options))
    sheet = [{name: REWRITTEN.get(cell, cell) for name, cell in row.items()} for row in plain(tmp_path / "sheet.csv")]
    assert {row["reference"] for row in sheet} == {"The 2 of them are as they were."}
    with (tmp_path / "saved.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({name: cell.removeprefix(dropped) for name, cell in row.items()} for row in sheet)
    found = read_sheet(tmp_path / "saved.csv")
    assert {row["id"]: row_digest(row) for row in found} == {name: digest for name, (_, digest) in key.rows.items()}
    assert {row["source"] for row in found} == set(REWRITTEN)


def test_a_seed_draws_the_same_sheet_and_another_one_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / f"{name}.csv", seed=seed)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()


def test_the_reference_as_a_system_is_not_shown_as_a_reference(tmp_path: Path) -> None:
    write(tmp_path / "sheet.csv", systems=("student", "reference"), sentences=1000)
    sheet = plain(tmp_path / "sheet.csv")
    assert len(sheet) == 40
    assert {row["reference"] for row in sheet} == {""}
    assert {row[side][:4] for row in sheet for side in "AB"} == {"'-st", "'ref"}


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no system baseline; it has reference, teacher, student"):
        write(tmp_path / "sheet.csv", systems=("baseline", "teacher"))
    with pytest.raises(DataError, match="compared with itself"):
        write(tmp_path / "sheet.csv", systems=("teacher", "teacher"))
    write(tmp_path / "sheet.csv")
    with pytest.raises(DataError, match=r"sheet\.csv is there already"):
        write(tmp_path / "sheet.csv")
    (tmp_path / "sheet.csv").unlink()
    with pytest.raises(DataError, match=r"sheet\.key\.json is there already"):
        write(tmp_path / "sheet.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_is_read_as_spreadsheets_save_it(tmp_path: Path, delimiter: str) -> None:
    write(tmp_path / "sheet.csv")
    sheet = plain(tmp_path / "sheet.csv")
    with (tmp_path / "saved.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerow([])
        writer.writerows([row[name] for name in COLUMNS] for row in sheet)
    found = read_sheet(tmp_path / "saved.csv")
    assert [row["A"] for row in found] == [row["A"].removeprefix("'") for row in sheet]
    assert [row["row"] for row in found[:2]] == ["3", "4"]  # the second line of the spreadsheet is empty


def test_empty_cells_at_the_end_of_a_row_may_be_missing(tmp_path: Path) -> None:
    write(tmp_path / "sheet.csv")
    content = (tmp_path / "sheet.csv").read_text(encoding="utf-8-sig")
    trimmed = "\n".join(line.rstrip("\r,") for line in content.split("\n"))
    (tmp_path / "trimmed.csv").write_text(trimmed, encoding="utf-8")
    assert trimmed != content
    assert read_sheet(tmp_path / "trimmed.csv") == read_sheet(tmp_path / "sheet.csv")


def test_a_file_that_is_no_sheet_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("id,source\n1,2\n")
    with pytest.raises(DataError, match=r"other\.csv lacks the columns reference, A, B, preference"):
        read_sheet(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="lacks the columns id"):
        read_sheet(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_sheet(tmp_path / "binary.csv")


def test_a_key_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "sheet.csv")
    assert path == tmp_path / "sheet.key.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert Key.read(path).systems == ("student", "teacher")
    first = next(iter(content["rows"]))
    content["rows"][first][1] = "0" * 16
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="its digest is not that of its rows"):
        Key.read(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="is no key of a sheet"):
        Key.read(path)
