"""Filled sheets with known answers; tests and intervals against worked examples and sums by hand."""

import csv
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from data.errors import DataError
from stages.evaluate.people.rating import rate_sheets, sign_test, wilson_interval
from stages.evaluate.people.sheet import write_sheet

NUMBER = 10
Fill = Callable[[str, int], Mapping[str, str]]


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    languages = {"source_language": "en", "target_language": "de"}
    rows = [
        {"id": f"{n:032x}", "source": f"s {n}", "reference": f"r {n}", "student": f"+{n}", "teacher": f"t {n}"}
        | languages
        for n in range(NUMBER)
    ]
    write_sheet(rows, tmp_path / "sheet.csv", systems=("student", "teacher"), sentences=NUMBER, seed=3, evaluation="e")
    return tmp_path / "sheet.csv"


def key_of(sheet: Path) -> Path:
    return sheet.with_suffix(".key.json")


def filled(sheet: Path, name: str, fill: Fill, drop: int = 0) -> Path:
    """A copy of the sheet; `fill` gets which side the student is on, and a row's number from 0."""
    students = {row: "AB"[first] for row, (first, _) in json.loads(key_of(sheet).read_text())["rows"].items()}
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row.update(fill(students[row["id"].removeprefix("'")], number))
    path = sheet.with_name(name)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[drop:])
    return path


def other(side: str) -> str:
    return "B" if side == "A" else "A"


def prefers(wins: int, losses: int, ties: int = 0) -> Fill:
    """The student in the first rows, the teacher in the next, then ties; the rest is left open."""

    def fill(side: str, number: int) -> Mapping[str, str]:
        said = [*[side] * wins, *[other(side)] * losses, *["Tie"] * ties, *[""] * NUMBER]
        return {"preference": said[number].lower() if number % 2 else said[number]}

    return fill


def test_wins_ties_and_losses_are_the_first_systems_whichever_side_it_was_on(sheet: Path) -> None:
    found = rate_sheets([filled(sheet, "one.csv", prefers(5, 2, 1))], key_of(sheet))
    assert (found["systems"], found["sentences"], found["judged"]) == (["student", "teacher"], 10, 8)
    assert (found["wins"], found["ties"], found["losses"]) == (5, 1, 2)
    assert found["win_share"] == pytest.approx(5 / 7)
    assert found["p_value"] == pytest.approx(2 * (1 + 7 + 21) / 2**7)
    [rater] = found["raters"]
    assert (rater["unfilled"], rater["missing_rows"]) == (2, 0)
    assert found["sides"]["A"] + found["sides"]["B"] == 7
    assert found["agreement"] is None
    assert found["adequacy"] == {"student": None, "teacher": None}


def test_adequacy_goes_to_the_system_that_stood_there(sheet: Path) -> None:
    def fill(side: str, number: int) -> Mapping[str, str]:
        if number >= 4:
            return {}
        return {f"adequacy {side}": str(number + 1), f"adequacy {other(side)}": "5" if number else ""}

    found = rate_sheets([filled(sheet, "one.csv", fill)], key_of(sheet))
    assert found["adequacy"]["student"]["mean"] == pytest.approx((1 + 2 + 3 + 4) / 4)
    assert found["adequacy"]["teacher"]["mean"] == 5
    assert found["adequacy"]["teacher"]["sentences"] == 3
    assert found["adequacy_difference"]["mean"] == pytest.approx((-3 - 2 - 1) / 3)
    low, high = found["adequacy_difference"]["interval"]
    assert -3 <= low < -2 < high <= -1
    assert (found["judged"], found["win_share"], found["p_value"]) == (0, None, 1.0)


def test_more_raters_vote_on_each_sentence(sheet: Path) -> None:
    sheets = [
        filled(sheet, "one.csv", prefers(6, 4)),
        filled(sheet, "two.csv", prefers(6, 4)),
        filled(sheet, "three.csv", prefers(2, 8)),
    ]
    found = rate_sheets(sheets, key_of(sheet))
    assert (found["wins"], found["ties"], found["losses"]) == (6, 0, 4)
    two = rate_sheets([sheets[0], sheets[2]], key_of(sheet))
    assert (two["wins"], two["ties"], two["losses"]) == (2, 4, 4)
    assert [rater["wins"] for rater in found["raters"]] == [6, 6, 2]
    # Both say student 2 times, teacher 4 times, of 10: observed 0.6; by chance 0.6 * 0.2 + 0.4 * 0.8.
    assert two["agreement"]["kappa"] == pytest.approx((0.6 - 0.44) / (1 - 0.44))
    assert (two["agreement"]["kind"], two["agreement"]["alike"]) == ("Cohen", 6)
    # 6 rows of which all three say the same, 4 where two of three do; 14 of 30 for the student.
    by_chance = Fraction(14, 30) ** 2 + Fraction(16, 30) ** 2
    observed = (6 * 1 + 4 * Fraction(1, 3)) / 10
    assert found["agreement"]["kind"] == "Fleiss"
    assert found["agreement"]["kappa"] == pytest.approx(float((observed - by_chance) / (1 - by_chance)))


def test_agreement_is_over_what_all_judged(sheet: Path) -> None:
    sheets = [filled(sheet, "one.csv", prefers(3, 2)), filled(sheet, "two.csv", prefers(3, 6), drop=1)]
    found = rate_sheets(sheets, key_of(sheet))
    assert (found["agreement"]["sentences"], found["agreement"]["alike"]) == (4, 4)
    assert [rater["missing_rows"] for rater in found["raters"]] == [0, 1]
    assert [rater["unfilled"] for rater in found["raters"]] == [5, 1]


def test_bad_cells_are_all_named_by_row_and_column(sheet: Path) -> None:
    def fill(side: str, number: int) -> Mapping[str, str]:
        wrong = {0: {"preference": "C"}, 1: {"adequacy A": "6"}, 2: {"adequacy B": "good"}, 3: {"preference": "both"}}
        return wrong.get(number, {"preference": "A"})

    with pytest.raises(DataError) as error:
        rate_sheets([filled(sheet, "bad.csv", fill)], key_of(sheet))
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("bad.csv: row 2, column preference: 'C'; expected A, B or tie")
    assert lines[1].endswith("row 3, column adequacy A: '6'; expected a whole number from 1 to 5")
    assert "row 4, column adequacy B: 'good'" in lines[2]
    assert "row 5, column preference: 'both'" in lines[3]


def test_changed_texts_and_foreign_rows_are_refused(sheet: Path) -> None:
    changed = filled(sheet, "changed.csv", lambda side, number: {"A": "better"} if number == 6 else {})
    with pytest.raises(DataError, match="row 8: its texts are not those that were handed out"):
        rate_sheets([changed], key_of(sheet))
    foreign = filled(sheet, "foreign.csv", lambda side, number: {"id": "f" * 32} if number == 0 else {})
    with pytest.raises(DataError, match=r"row 2: its id 'f+' is not in the key"):
        rate_sheets([foreign], key_of(sheet))
    lines = sheet.read_text(encoding="utf-8").splitlines()
    twice = sheet.with_name("twice.csv")
    twice.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 12: its id '.*' is there twice"):
        rate_sheets([twice], key_of(sheet))


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 2 / 64), (8, 2, 112 / 1024), (1, 0, 1.0), (15, 3, 2 * 988 / 2**18)],
)
def test_the_sign_test_is_the_exact_binomial(wins: int, losses: int, expected: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(expected)
    assert sign_test(losses, wins) == pytest.approx(expected)


def test_the_interval_is_wilsons() -> None:
    """15 of 148 is an example of Newcombe (1998, Statistics in Medicine 17, 857-872): 0.0624 to 0.1605.

    The ends of 0 and 1 follow from z squared over n plus z squared.
    """
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    squared = 1.959964**2
    assert wilson_interval(0, 10) == pytest.approx((0.0, squared / (10 + squared)), abs=1e-6)
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + squared), 1.0), abs=1e-6)
