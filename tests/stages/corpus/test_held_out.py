"""What is nearly held out, and sets that are given whole."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import DataError
from stages.corpus.admission import LONGEST_GIVEN
from tests.fixtures.corpora import make_corpus, tsv

EXAM = [("Turn it on", "Schalte es ein"), ("Hello", "Hallo")]
few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def trained(tmp_path: Path, rows: list[tuple[str, ...]], **options: Any) -> Any:
    anchor = ("Something else", "Etwas anderes")
    return make_corpus(
        tmp_path, tsv(tmp_path, "a", [anchor, *rows]), test_sets=[tsv(tmp_path, "exam", EXAM)], **options
    )


@pytest.mark.parametrize("source", ["Hel\u2060lo", "Hel\u200blo", "Hello.", "“Hello”", "&quot;Hello&quot;", "H ello !"])
def test_a_training_row_whose_source_is_nearly_a_test_rows_is_dropped(tmp_path: Path, source: str) -> None:
    made = trained(tmp_path, [(source, "Guten Tag")])
    assert made.reasons() == ["nearly_held_out"]
    assert made.metrics["near_held_out"]["sources"] == {"policy": "drop", "rows": 1}


@pytest.mark.parametrize(("policy", "kept", "counted"), [("drop", 0, 1), ("count", 1, 1), ("keep", 1, 0)])
@pytest.mark.parametrize(
    ("key", "row"), [("sources", ("Hello!", "Tag")), ("references", ("Hi there", "hallo!")), ("sources", ("Hello!",))]
)
def test_a_setting_drops_counts_or_keeps(
    tmp_path: Path, policy: str, kept: int, counted: int, key: str, row: tuple[str, ...]
) -> None:
    made = trained(tmp_path, [(*row, "")[:2]], near_held_out={key: policy})
    assert len(made.pairs("train")) == 1 + kept
    assert made.metrics["near_held_out"][key] == {"policy": policy, "rows": counted}


def test_references_of_test_rows_are_counted_and_stay(tmp_path: Path) -> None:
    made = trained(tmp_path, [("Hi there", "Hallo"), ("Hi you", "Hallo.")])
    assert len(made.pairs("train")) == 3
    assert made.metrics["near_held_out"]["references"] == {"policy": "count", "rows": 2}


def test_the_same_pair_the_other_way_round_is_found_whatever_the_region(tmp_path: Path) -> None:
    reversed_pair = tsv(tmp_path, "b", [("Hallo.", "Hello"), ("Gut", "Good")])
    made = make_corpus(
        tmp_path,
        tsv(tmp_path, "a", [("Something", "Etwas")]),
        reversed_pair | {"source_language": "de-DE", "target_language": "en-US"},
        test_sets=[tsv(tmp_path, "exam", EXAM)],
    )
    assert made.reasons() == ["held_out_elsewhere"]
    assert sorted(made.pairs("train")) == [("Gut", "Good"), ("Something", "Etwas")]


def test_what_the_hash_holds_out_has_no_twin_in_training_either(tmp_path: Path) -> None:
    rows = [(f"Number {number}", f"Nummer {number}") for number in range(200)]
    twins = [(f"“Number {number}.”", f"Die Nummer {number}") for number in range(200)]
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [*rows, *twins]), test_fraction=0.1, valid_fraction=0.1)
    numbers = {
        split: {"".join(filter(str.isdigit, source)) for source, _ in made.pairs(split)}
        for split in ("train", "valid", "test")
    }
    assert not numbers["train"] & (numbers["valid"] | numbers["test"])
    assert made.metrics["dropped"]["nearly_held_out"] > 20


def test_a_given_set_is_kept_whole_in_its_order_with_its_texts_untouched(tmp_path: Path) -> None:
    lines = [
        ("b  b", "zwei  zwei"),
        ("Cafe\u0301", "ein Café\u00a0"),
        ("b  b", "noch einmal"),
        ("x" * 3000, "y" * 3000),
        ("b b", "gefaltet gleich"),
    ]
    made = make_corpus(
        tmp_path,
        tsv(tmp_path, "a", [("A row", "Eine Zeile"), ("B b", "weg")]),
        test_sets=[tsv(tmp_path, "one", lines), tsv(tmp_path, "two", lines[:2])],
        valid_sets=[tsv(tmp_path, "three", lines[1:3])],
        valid_fraction=0.5,
        test_fraction=0.5,
    )
    assert made.pairs("test") == [*lines, *lines[:2]]
    assert made.pairs("valid") == lines[1:3]
    assert made.pairs("train") == [("A row", "Eine Zeile")]
    assert len({row["id"] for row in made.rows}) == len(made.rows) == 10
    assert [row["origin"] for row in made.rows if row["split"] == "test"] == ["one"] * 5 + ["two"] * 2
    assert made.metrics["sources"]["one"]["kept"] == {"train": 0, "valid": 0, "test": 5}


def test_what_stands_in_a_valid_set_is_not_trained_on(tmp_path: Path) -> None:
    made = make_corpus(
        tmp_path,
        tsv(tmp_path, "a", [("hello", "Tag"), ("Hello!", "Tag"), ("Other", "Anderes")]),
        valid_sets=[tsv(tmp_path, "watched", EXAM)],
        test_fraction=0.0,
    )
    assert sorted(made.reasons()) == ["in_valid_set", "nearly_held_out"]
    assert made.pairs("train") == [("Other", "Anderes")]


@pytest.mark.parametrize("line", ["no tab", "a\0b\tc", "x" * (LONGEST_GIVEN + 1) + "\ty"])
def test_a_given_set_that_cannot_be_read_whole_is_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "exam.tsv"
    path.write_text(f"Good\tGut\n{line}\n")
    exam = {"kind": "tsv", "name": "exam", "file": str(path), "target_column": 1}
    with pytest.raises(DataError, match=r"corpus.test_sets\[0\] \(exam\), .*exam.tsv:2: .*scored whole"):
        make_corpus(tmp_path, tsv(tmp_path, "a", [("A", "B")]), test_sets=[exam])


@few
@given(
    rows=st.lists(st.sampled_from(["Hello", "“Hello”", "Hello.", "hello", "Bye", "B ye"]), min_size=1),
    size=st.integers(1, 5),
)
def test_rows_looked_up_at_once_do_not_change_what_is_found(tmp_path: Path, rows: list[str], size: int) -> None:
    whole = trained(tmp_path, [(row, "Tag") for row in rows])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("stages.corpus.splits._ROWS_AT_ONCE", size)
        again = trained(tmp_path, [(row, "Tag") for row in rows])
    assert (again.rows, again.rejects) == (whole.rows, whole.rejects)
