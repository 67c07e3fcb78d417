import hashlib
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.errors import DataError
from data.ids import fold
from data.runtime import Runtime
from data.schema import PAIRS, REJECTS
from stages.corpus import stage as corpus
from stages.corpus.readers.rows import Row
from stages.corpus.sorting import sort_rows
from tests.fixtures.artifacts import new_artifact
from tests.fixtures.corpora import make_corpus, tsv

HELD_OUT = {"test_fraction": 0.2, "valid_fraction": 0.2}
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def point_by_hand(source: str) -> float:
    folded = " ".join(unicodedata.normalize("NFKC", source).casefold().split())
    digest = hashlib.blake2b(folded.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_hand(source: str, test: float = 0.2, valid: float = 0.2) -> str:
    point = point_by_hand(source)
    return "test" if point < test else "valid" if point < test + valid else "train"


NUMBERED = [f"Sentence number {number}" for number in range(60)]


def test_splits_follow_the_hash_of_the_folded_source(tmp_path: Path) -> None:
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [(text, f"Satz {text}") for text in NUMBERED]), **HELD_OUT)
    assert {row["source"]: row["split"] for row in made.rows} == {text: split_by_hand(text) for text in NUMBERED}
    expected = {split: sum(split_by_hand(text) == split for text in NUMBERED) for split in ("train", "valid", "test")}
    assert made.metrics["sources"]["a"]["kept"] == expected
    assert min(expected.values()) > 0


def test_shards_hold_pairs_with_ids_in_order_of_the_hash(tmp_path: Path) -> None:
    rows = [(text, f"Satz {text}") for text in NUMBERED]
    made = make_corpus(tmp_path, tsv(tmp_path, "a", rows), shard_rows=25)
    assert made.artifact.shard_names() == ["train-00000", "train-00001", "train-00002"]
    assert [row["source"] for row in made.rows] == sorted(NUMBERED, key=point_by_hand)
    table = made.artifact.read_shard("train-00000")
    assert table.num_rows == 25
    assert table.schema.equals(PAIRS, check_metadata=True)
    first = made.rows[0]
    spelled = f"en\x1fde\x1f{first['source']}".encode()
    assert first["id"] == hashlib.blake2b(spelled, digest_size=16).hexdigest()
    line = NUMBERED.index(first["source"]) + 1
    assert first["location"] == f"a.tsv:{line}"
    assert (first["origin"], first["source_language"], first["target_language"]) == ("a", "en", "de")


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_of_a_limited_source_the_training_rows_with_the_smallest_hash_are_taken(tmp_path: Path, limit: int) -> None:
    rows, others = [(text, f"Satz {text}") for text in NUMBERED], [(f"Other {text}", "x") for text in NUMBERED[:9]]
    sources = tsv(tmp_path, "a", rows, limit=limit), tsv(tmp_path, "b", others)
    made = make_corpus(tmp_path, *sources, **HELD_OUT)
    by_hash = sorted(NUMBERED, key=point_by_hand)
    split = {text: split_by_hand(text) for text in NUMBERED}
    taken = [text for text in by_hash if split[text] == "train"][:limit]
    own = [row["source"] for row in made.rows if row["source"] in split and row["split"] == "train"]
    assert own == taken
    # What is held out, and the other source, are whole.
    for name in ("valid", "test"):
        held_out = [row["source"] for row in made.rows if row["source"] in split and row["split"] == name]
        assert held_out == [text for text in by_hash if split[text] == name]
    assert sum(row["source"] not in split for row in made.rows) == 9
    # Every row is kept or is among the rejects, with the reason.
    left = len(NUMBERED) - len(held_out) - len(taken) - sum(split[text] == "valid" for text in NUMBERED)
    assert made.reasons() == ["over_limit"] * left
    counts = made.metrics["sources"]["a"]
    assert counts["read"] == sum(counts["kept"].values()) + counts["dropped"].get("over_limit", 0)


def test_of_a_limited_source_that_grows_no_row_takes_the_place_of_another(tmp_path: Path) -> None:
    def taken(texts: list[str]) -> set[str]:
        rows = [(text, f"Satz {text}") for text in texts]
        return {row["source"] for row in make_corpus(tmp_path, tsv(tmp_path, "a", rows, limit=12)).rows}

    before, after = taken(NUMBERED[:40]), taken(NUMBERED)
    assert len(before) == len(after) == 12
    assert before & after
    assert not (after - before) & set(NUMBERED[:40])


def test_a_row_that_another_source_has_first_uses_up_no_limit(tmp_path: Path) -> None:
    rows = [(text, f"Satz {text}") for text in NUMBERED]
    made = make_corpus(tmp_path, tsv(tmp_path, "a", rows[:20]), tsv(tmp_path, "b", rows, limit=10))
    assert made.metrics["sources"]["b"]["kept"]["train"] == 10
    assert made.metrics["sources"]["b"]["dropped"] == {"duplicate": 20, "over_limit": 30}


@pytest.mark.parametrize("key", ["test_sets", "valid_sets"])
def test_what_is_held_out_whole_has_no_limit(tmp_path: Path, key: str) -> None:
    rows = [(text, f"Satz {text}") for text in NUMBERED]
    with pytest.raises(ValidationError, match="limit: held is held out, and stays whole"):
        make_corpus(tmp_path, tsv(tmp_path, "a", rows), **{key: [tsv(tmp_path, "held", rows, limit=3)]})


@pytest.mark.parametrize("key", ["test_sets", "valid_sets"])
def test_what_is_held_out_whole_has_no_weight(tmp_path: Path, key: str) -> None:
    rows = [(text, f"Satz {text}") for text in NUMBERED]
    with pytest.raises(ValidationError, match="weight: held is held out, and not trained on"):
        make_corpus(tmp_path, tsv(tmp_path, "a", rows), **{key: [tsv(tmp_path, "held", rows, weight=3)]})


def test_of_a_weight_the_corpus_knows_nothing(tmp_path: Path) -> None:
    rows = [(text, f"Satz {text}") for text in NUMBERED]
    plain, weighed = (make_corpus(tmp_path, tsv(tmp_path, "a", rows, **given)) for given in ({}, {"weight": 3}))
    assert plain.rows == weighed.rows and plain.metrics == weighed.metrics


def test_text_is_normalised_and_placeholders_kept(tmp_path: Path) -> None:
    source = "  Cafe\N{COMBINING ACUTE ACCENT}\N{NO-BREAK SPACE} {name}   is\u2028 %s  open "
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [(source, " {name}  %s offen ")]))
    assert made.pairs() == [("Café {name} is %s open", "{name} %s offen")]


def test_duplicates_keep_the_first_row_with_a_reference(tmp_path: Path) -> None:
    made = make_corpus(
        tmp_path,
        tsv(tmp_path, "a", [("One", ""), ("Two", "Zwei"), ("Two", "Zwo"), ("three", "drei")]),
        tsv(tmp_path, "b", [("One", "Eins"), ("Two", "Zween"), ("Three", "Drei")]),
    )
    assert sorted(made.pairs(), key=str) == [("One", "Eins"), ("Three", "Drei"), ("Two", "Zwei"), ("three", "drei")]
    assert made.metrics["sources"]["a"]["dropped"] == {"duplicate": 2}
    assert made.metrics["sources"]["b"]["dropped"] == {"duplicate": 1}
    assert sorted((row["location"].rpartition("/")[2], row["source"], row["reference"]) for row in made.rejects) == [
        ("a.tsv:1", "One", None),
        ("a.tsv:3", "Two", "Zwo"),
        ("b.tsv:2", "Two", "Zween"),
    ]


def test_the_same_source_in_other_languages_is_another_row(tmp_path: Path) -> None:
    german, french = tsv(tmp_path, "a", [("One", "Eins")]), tsv(tmp_path, "b", [("One", "Un")], target_language="fr")
    scots = tsv(tmp_path, "c", [("One", "Een")], source_language="sco", target_language="nl")
    made = make_corpus(tmp_path, german, french, scots)
    found = {(row["source_language"], row["target_language"], row["reference"]) for row in made.rows}
    assert found == {("en", "de", "Eins"), ("en", "fr", "Un"), ("sco", "nl", "Een")}
    assert len({row["id"] for row in made.rows}) == 3


def test_monolingual_rows_join_the_training_split_alone(tmp_path: Path) -> None:
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [(text,) for text in NUMBERED]), **HELD_OUT)
    train = [text for text in NUMBERED if split_by_hand(text) == "train"]
    assert sorted(made.pairs()) == sorted((text, None) for text in train)
    counts = made.metrics["sources"]["a"]
    assert counts["dropped"] == {"held_out_monolingual": len(NUMBERED) - len(train)}
    assert counts["without_reference"] == len(NUMBERED)
    assert counts["monolingual"] == {"train": len(train), "valid": 0, "test": 0}


def test_test_sets_are_the_test_split_and_nothing_of_them_is_trained_on(tmp_path: Path) -> None:
    texts = [(text, "Satz") for text in NUMBERED]
    exam = [(NUMBERED[3].upper(), "Drei"), ("Never seen", "Nie gesehen"), (f"{NUMBERED[9]}  ", "Neun"), ("Alone", "")]
    made = make_corpus(
        tmp_path,
        tsv(tmp_path, "a", [*texts, ("ALONE", "Allein")]),
        tsv(tmp_path, "b", [("never SEEN", "")], target_column=None, source_language="en-GB"),
        test_sets=[tsv(tmp_path, "exam", exam)],
        **HELD_OUT,
    )
    assert sorted(made.pairs("test")) == [
        ("Never seen", "Nie gesehen"),
        (NUMBERED[3].upper(), "Drei"),
        (f"{NUMBERED[9]}  ", "Neun"),
    ]
    left = [text for text in NUMBERED if text not in {NUMBERED[3], NUMBERED[9]}]
    # What the hash would hold out for test is trained on, and valid is what it always was.
    assert sorted(made.pairs("valid")) == sorted((text, "Satz") for text in left if split_by_hand(text) == "valid")
    assert sorted(made.pairs("train")) == sorted((text, "Satz") for text in left if split_by_hand(text) != "valid")
    assert made.metrics["sources"]["a"]["dropped"] == {"in_test_set": 3}
    assert made.metrics["sources"]["b"]["dropped"] == {"in_test_set": 1}
    assert made.metrics["sources"]["exam"]["dropped"] == {"held_out_monolingual": 1}


WORDS = st.sampled_from(["turn", "on", "Light", "LIGHT", "ﬁre", "FIRE", "straße", "STRASSE", "e\u0301", "é", "\u00a0"])
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from(["", "ja", "nein"])), min_size=1, max_size=30)

# A corpus without a row to train on is an error.
ANCHOR = next((text, "Satz") for text in NUMBERED if point_by_hand(text) >= 0.6)


def folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@few
@given(rows=ROWS, exam=ROWS, with_exam=st.booleans())
def test_no_training_row_shares_its_folded_source_with_a_held_out_row(
    tmp_path: Path, rows: list[tuple[str, str]], exam: list[tuple[str, str]], with_exam: bool
) -> None:
    options: dict[str, Any] = {"test_sets": [tsv(tmp_path, "exam", exam)]} if with_exam else {}
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [*rows, ANCHOR]), test_fraction=0.3, valid_fraction=0.3, **options)
    splits: dict[str, set[str]] = {}
    for row in made.rows:
        splits.setdefault(folded(row["source"]), set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert len({row["id"] for row in made.rows}) == len(made.rows)
    for counts in made.metrics["sources"].values():
        assert counts["read"] == sum(counts["kept"].values()) + sum(counts["dropped"].values())
    assert len(made.rejects) == sum(made.metrics["dropped"].values())


@few
@given(rows=ROWS, more=ROWS)
def test_a_row_keeps_its_split_when_the_corpus_grows(
    tmp_path: Path, rows: list[tuple[str, str]], more: list[tuple[str, str]]
) -> None:
    start = [*rows, ANCHOR]
    before = make_corpus(tmp_path, tsv(tmp_path, "a", start), test_fraction=0.3, valid_fraction=0.3)
    after = make_corpus(tmp_path, tsv(tmp_path, "a", [*start, *more]), test_fraction=0.3, valid_fraction=0.3)
    grown = {row["id"]: row["split"] for row in after.rows}
    assert {row["id"]: grown[row["id"]] for row in before.rows} == {row["id"]: row["split"] for row in before.rows}
    order = [row["id"] for row in after.rows if row["id"] in {row["id"] for row in before.rows}]
    assert order == [row["id"] for row in before.rows]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    source = tsv(tmp_path, "a", [(text, "Satz") for text in [*NUMBERED, *NUMBERED[:7]]])
    one, two = (make_corpus(tmp_path, source, **HELD_OUT).artifact.manifest() for _ in range(2))
    assert one.content_digest() == two.content_digest()


def test_rejects_keep_what_was_read_and_why(tmp_path: Path) -> None:
    rows = [("x" * 30, "y"), ("ab", "y"), ("good", "gut"), (" \N{NO-BREAK SPACE} ", "leer"), ("fine", "z" * 30)]
    made = make_corpus(tmp_path, tsv(tmp_path, "a", rows), min_characters=3, max_characters=20)
    assert made.pairs() == [("good", "gut")]
    assert made.reasons() == ["too_long", "too_short", "empty_source", "too_long"]
    assert made.metrics["sources"]["a"]["dropped"] == {"empty_source": 1, "too_long": 2, "too_short": 1}
    schema = pq.read_schema(made.artifact.path() / "rejects-00000.parquet")
    assert schema.equals(REJECTS, check_metadata=True)
    assert made.rejects[0]["source"] == "x" * 30


@pytest.mark.parametrize("rows", [[], [("",)], [("", "leer")]])
def test_an_empty_corpus_is_an_error_that_tells_why(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    with pytest.raises(DataError, match=rf"corpus is empty.*a: {len(rows)} rows read"):
        make_corpus(tmp_path, tsv(tmp_path, "a", rows))


def test_shards_of_a_killed_run_do_not_stay(tmp_path: Path) -> None:
    source = tsv(tmp_path, "a", [("One", "Eins")])
    config = corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})
    output = new_artifact(tmp_path / "runs", "corpus")
    output.write_shard("train-00007", PAIRS.empty_table())
    (output.work_path() / ".sorting").mkdir()
    (output.work_path() / ".sorting" / "0.arrow").write_bytes(b"cut off")
    corpus.run({}, config, output, Runtime())
    assert list(output.finished_shards()) == ["train-00000"]
    assert not (output.work_path() / ".sorting").exists()


def test_progress_tells_rows(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    config = corpus.Config.model_validate(
        {
            "source_language": "en",
            "target_language": "de",
            "sources": [tsv(tmp_path, "a", [(f"Row {number % 15_000}",) for number in range(20_000)])],
        }
    )
    runtime = Runtime(progress=lambda done, total, extras: told.append((done, total)))
    corpus.run({}, config, new_artifact(tmp_path / "runs", "corpus"), runtime)
    assert told == [(10_000, None), (20_000, None), (10_000, 20_000), (20_000, 20_000)]


def make_row(number: int, point: float) -> Row:
    text = f"Text {number} \N{SNOWMAN}"
    return Row(
        point, 1, f"{number:032x}", number % 2 == 0, number, 0, text, text if number % 2 else None, f"f:{number}"
    )


@given(points=st.lists(st.floats(0, 1), max_size=200), most=st.integers(1, 50), characters=st.integers(1, 500))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sorting_on_disk_is_sorting_in_memory(tmp_path: Path, points: list[float], most: int, characters: int) -> None:
    rows = [make_row(number, point) for number, point in enumerate(points)]
    assert list(sort_rows(rows, tmp_path / "sorting", most, characters)) == sorted(rows)
    assert not (tmp_path / "sorting").exists()


def test_more_runs_than_can_be_open_at_once_are_merged_in_turn(tmp_path: Path) -> None:
    rows = [make_row(number, (number * 37 % 700) / 700) for number in range(700)]
    assert list(sort_rows(rows, tmp_path / "sorting", most_rows=1)) == sorted(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_language": "english"}, "did you mean en"),
        ({"source_language": "jp"}, "did you mean ja"),
        ({"target_language": "en_US"}, "did you mean en-US"),
        ({"target_language": "qqqqqqqq"}, "expected a BCP-47 tag"),
        ({"sources": []}, "at least 1 item"),
        ({"min_characters": 9, "max_characters": 8}, "above max_characters"),
        ({"test_sets": [{"kind": "tsv", "name": "a", "file": "b.tsv"}]}, "two sources are named a"),
        ({"sources": [{"kind": "tvs", "name": "a", "file": "b.tsv"}]}, "does not match any of the expected tags"),
        ({"sources": [{"kind": "tsv", "name": "a", "file": "b.tsv", "target_colum": 1}]}, "Extra inputs"),
        ({"sources": [{"kind": "tsv", "name": "a", "file": "b.tsv", "source_language": "xq"}]}, "no known language"),
    ],
)
def test_faulty_options_are_told(change: dict[str, Any], message: str) -> None:
    valid = {
        "source_language": "en",
        "target_language": "de",
        "sources": [{"kind": "tsv", "name": "a", "file": "a.tsv"}],
    }
    corpus.Config.model_validate(valid)
    with pytest.raises(ValidationError, match=message):
        corpus.Config.model_validate({**valid, **change})


def test_missing_files_are_told_at_once_and_given_ones_are_fingerprinted(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("x")
    sources = [
        {"kind": "text", "name": "a", "source_file": f"{tmp_path}/there.txt", "target_file": f"{tmp_path}/b.txt"},
        {"kind": "parquet", "name": "b", "path": f"{tmp_path}/*.parquet"},
        {"kind": "text", "name": "c", "source_file": "https://example.org/c.txt"},
        {"kind": "catalog", "name": "d", "wheel": "some==1.0", "pattern": "{language}.json"},
    ]
    exam = {"kind": "tsv", "name": "exam", "file": f"{tmp_path}/exam.tsv"}
    config = corpus.Config.model_validate(
        {"source_language": "en", "target_language": "de", "sources": sources, "test_sets": [exam]}
    )
    assert sorted(corpus.faults(config)) == [
        f"corpus.sources[0].target_file: no such file: {tmp_path}/b.txt",
        f"corpus.sources[1].path: no such file: {tmp_path}/*.parquet",
        f"corpus.test_sets[0].file: no such file: {tmp_path}/exam.tsv",
    ]
    assert corpus.external_files(config) == [tmp_path / "there.txt"]


def test_no_row_gives_away_what_is_held_out_in_another_language_pair(tmp_path: Path) -> None:
    texts = {tag: [f"{tag} text {number}" for number in range(300)] for tag in ("en", "de", "fr")}
    pairs = [("en", "de"), ("de", "en"), ("fr", "de")]
    sources = [
        tsv(tmp_path, f"{one}-{other}", list(zip(texts[one], texts[other], strict=True)))
        | {"source_language": one, "target_language": other}
        for one, other in pairs
    ]
    made = make_corpus(tmp_path, *sources, test_fraction=0.1, valid_fraction=0.05)

    def sides(row: dict[str, Any]) -> set[tuple[str, str]]:
        return {
            (row["source_language"], fold(row["source"])),
            (row["target_language"], fold(row["reference"])),
        }

    held_out = {side for row in made.rows if row["split"] != "train" for side in sides(row)}
    train = [row for row in made.rows if row["split"] == "train"]
    assert not [row for row in train if sides(row) & held_out]
    # What is dropped is that and nothing else.
    dropped = [row for row in made.rejects if row["reason"] == "held_out_elsewhere"]
    assert len(dropped) + len(made.rows) == 900
    numbers = {int(side[1].split()[-1]) for side in held_out}
    assert {int(row["source"].split()[-1]) for row in dropped} <= numbers
    assert len(train) == 3 * (300 - len(numbers))


def test_one_language_pair_may_share_references_with_what_is_held_out(tmp_path: Path) -> None:
    rows = [(f"text {number}", "the same") for number in range(100)]
    made = make_corpus(tmp_path, tsv(tmp_path, "a", rows), test_fraction=0.2)
    assert len(made.rows) == 100
    assert made.reasons() == []
