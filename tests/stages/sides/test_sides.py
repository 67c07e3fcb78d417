"""Corpora whose sides are right, shifted, shuffled, swapped or in another language, and what is said of each."""

import random
import re
from pathlib import Path

import pytest

from tests.stages.sides.made import Pairs, looked_at, pairs, two_files


def halves(made: Pairs) -> tuple[list[str], list[str]]:
    return [source for source, _ in made], [target for _, target in made]


def test_a_right_corpus_is_no_reason_to_say_anything(tmp_path: Path) -> None:
    found = looked_at(tmp_path, two_files(tmp_path, "right", halves(pairs(600))), shard_rows=250)
    assert found["warnings"] == []
    assert found["sources"]["right"]["with_reference"] == 200
    assert found["sources"]["right"]["own"] > 0.9 * 200


@pytest.mark.parametrize("by", [1, -1, 2, -3, 5])
def test_a_shift_is_told_with_how_far_and_which_way(tmp_path: Path, by: int) -> None:
    sources, targets = halves(pairs(600))
    # With `by` above 0 the translation of a line stands so many lines further down.
    both = (sources[: 600 - by], ["Eine Zeile zu viel."] * by + targets[: 600 - 2 * by]) if by > 0 else (
        sources[: 600 + by], targets[-by:]
    )  # fmt: skip
    [told] = looked_at(tmp_path, two_files(tmp_path, "moved", both))["warnings"]
    lines = f"{abs(by)} line{'s' if abs(by) > 1 else ''}"
    way, side = (
        ("further down", "too many on the target side") if by > 0 else ("further up", "too few on the target side")
    )
    assert told.startswith("moved, all of it: sides are shifted: the reference that belongs to a row stands")
    assert f"stands {lines} {way}." in told
    assert f"{lines} {side}" in told
    examples = told.split("\n")[1:]
    assert len(examples) == 3
    for example in examples:
        assert re.fullmatch(r"  moved\.en:\d+: '.*' -> '.*'; reference '.*'", example)


@pytest.mark.parametrize("lost", [150, 300, 450])
def test_a_line_that_is_lost_on_the_way_is_found(tmp_path: Path, lost: int) -> None:
    sources, targets = halves(pairs(600))
    [told] = looked_at(tmp_path, two_files(tmp_path, "cut", (sources[:599], targets[:lost] + targets[lost + 1 :])))[
        "warnings"
    ]
    places = re.match(r"cut, from between cut\.en:(\d+) and cut\.en:(\d+): sides are shifted", told)
    assert places, told
    before, behind = map(int, places.groups())
    # One row of three is looked at; line numbers count from 1.
    assert before - 15 <= lost + 1 <= behind + 15
    assert "1 line further up" in told


def test_two_lines_lost_at_two_places_are_two_findings(tmp_path: Path) -> None:
    sources, targets = halves(pairs(900))
    lost = targets[:300] + targets[301:600] + targets[601:]
    told = looked_at(tmp_path, two_files(tmp_path, "cut", (sources[:898], lost)))["warnings"]
    assert [re.search(r"stands (\d lines? \w+ \w+)", one)[1] for one in sorted(told)] == [  # type: ignore[index]
        "1 line further up",
        "2 lines further up",
    ]


def test_one_source_of_several_is_named(tmp_path: Path) -> None:
    made = pairs(900)
    shuffled = [target for _, target in made[600:]]
    random.Random(1).shuffle(shuffled)  # noqa: S311
    sources = [
        two_files(tmp_path, "first", halves(made[:300])),
        two_files(tmp_path, "second", ([source for source, _ in made[600:]], shuffled)),
        two_files(tmp_path, "third", halves(made[300:600])),
    ]
    [told] = looked_at(tmp_path, *sources)["warnings"]
    assert told.startswith("second, all of it: references are no more like the teacher's translations than by chance")
    counts = re.search(r"of (\d+) rows looked at there (\d+) have", told)
    assert counts
    assert int(counts[2]) > 0.6 * int(counts[1])


def test_a_part_that_is_not_parallel_is_found(tmp_path: Path) -> None:
    sources, targets = halves(pairs(900))
    middle = targets[300:600]
    random.Random(1).shuffle(middle)  # noqa: S311
    [told] = looked_at(tmp_path, two_files(tmp_path, "part", (sources, targets[:300] + middle + targets[600:])))[
        "warnings"
    ]
    places = re.match(r"part, from between part\.en:(\d+) and part\.en:(\d+) to about part\.en:(\d+): references", told)
    assert places, told
    assert abs(int(places[2]) - 301) < 30
    assert abs(int(places[3]) - 600) < 30


def test_swapped_sides_are_told_as_such(tmp_path: Path) -> None:
    sources, targets = halves(pairs(300))
    [told] = looked_at(tmp_path, two_files(tmp_path, "turned", (targets, sources)))["warnings"]
    assert told.startswith(
        "turned, all of it: sides are swapped: sources are in German (de) and references in English (en). Swap"
    )
    assert told.count("\n") == 3


def test_a_side_in_another_language_is_told(tmp_path: Path) -> None:
    made = pairs(300)
    french = [f"Le voisin a acheté une bicyclette verte après la tempête, numéro {number}." for number in range(300)]
    [told] = looked_at(tmp_path, two_files(tmp_path, "french", (halves(made)[0], french)))["warnings"]
    assert re.match(
        r"french, all of it: of \d+ texts of the reference side \d+ are not in German \(de\), most of them in French",
        told,
    )
    (tmp_path / "again").mkdir()
    [told] = looked_at(tmp_path / "again", two_files(tmp_path, "copied", (halves(made)[0], halves(made)[0])))[
        "warnings"
    ]
    assert "of the reference side" in told
    assert "most of them in English" in told


def test_a_file_in_which_another_language_begins_is_told_with_the_place(tmp_path: Path) -> None:
    sources, targets = halves(pairs(600))
    [told] = looked_at(tmp_path, two_files(tmp_path, "half", (sources[:300] + targets[300:], targets)))["warnings"]
    places = re.match(r"half, from between half\.en:(\d+) and half\.en:(\d+): of \d+ texts of the source side", told)
    assert places, told
    assert abs(int(places[2]) - 301) < 30


@pytest.mark.parametrize("rows", [1, 39])
def test_too_few_rows_say_nothing(tmp_path: Path, rows: int) -> None:
    sources, targets = halves(pairs(rows + 1))
    found = looked_at(tmp_path, two_files(tmp_path, "tiny", (sources[:rows], targets[1:])))
    assert found["warnings"] == []


def test_sources_without_references_and_catalogs_without_lines_are_no_fault(tmp_path: Path) -> None:
    made = pairs(200)
    (tmp_path / "one.en").write_text("".join(f"{source}\n" for source, _ in made), encoding="utf-8")
    alone = {"kind": "text", "name": "alone", "source_file": str(tmp_path / "one.en")}
    assert looked_at(tmp_path, alone)["warnings"] == []


def test_a_teacher_that_knows_nothing_is_told_apart_from_nothing(tmp_path: Path) -> None:
    """It says the same of every source: neither reference is more like it, and the warning names the teacher too."""
    source = two_files(tmp_path, "right", halves(pairs(300)))
    words = random.Random(5)  # noqa: S311
    [told] = looked_at(tmp_path, source, translate=lambda _: "".join(words.choices("abdefghilmnorstu ", k=40)))[
        "warnings"
    ]
    assert "this teacher does not translate these texts" in told
