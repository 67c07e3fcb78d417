"""Selection, against sacrebleu pair by pair."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sacrebleu import BLEU, CHRF

from data import schema
from data.runtime import Runtime
from stages.select import stage as select
from stages.text.chrf import chrf_matrices, chrf_matrix
from tests.fixtures.artifacts import words_tokenizer

TEXTS = [
    "Das Gerät {name} ist nicht erreichbar.",
    "Das Gerät {name} ist nicht verfügbar.",
    "Gerät {name} nicht erreichbar",
    "Das das das das Gerät",
    "Das Gerät {name} ist nicht erreichbar.",
]
REFERENCE = "Das Gerät {name} konnte nicht erreicht werden."


def nbest(*rows: list[tuple[str, float]]) -> list[list[dict[str, object]]]:
    return [
        [{"tokens": text.split(), "text": text, "score": score, "teacher": "teacher"} for text, score in row]
        for row in rows
    ]


def table(rows: list[list[dict[str, object]]], references: list[str | None]) -> pa.Table:
    return pa.table(
        {
            "id": [f"id{number}" for number in range(len(rows))],
            "reference": pa.array(references, pa.string()),
            "hypotheses": pa.array(rows, schema.NBEST.field("hypotheses").type),
        }
    )


def chosen(rows: list[list[dict[str, object]]], references: list[str | None], **config: str) -> list[dict[str, object]]:
    settings = select.Config(**config)  # type: ignore[arg-type]
    result = select.run(table(rows, references), settings, select.load(settings, {}, Runtime()))
    assert result.schema.equals(select.SCHEMA)
    assert result.column("id").to_pylist() == [f"id{number}" for number in range(len(rows))]
    return result.to_pylist()  # type: ignore[no-any-return]


text = st.text(alphabet="abcß 中\U0001f600\u0301{}", max_size=25)


@settings(max_examples=60, deadline=None)
@given(st.lists(text, min_size=1, max_size=4), st.lists(text, min_size=1, max_size=3))
def test_chrf_is_sacrebleus(hypotheses: list[str], references: list[str]) -> None:
    scorer = CHRF()
    ours = chrf_matrix(hypotheses, references)
    theirs = [[scorer.sentence_score(one, [other]).score for other in references] for one in hypotheses]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_chrf_of_many_rows_of_all_shapes_and_of_many_letters() -> None:
    random = np.random.default_rng(2)
    letters = [chr(0x4E00 + number) for number in range(5000)]  # more than six of them fit into 64 bits

    def made() -> list[str]:
        counts = random.integers(0, 60, random.integers(1, 5))
        known = random.choice([3, 5000], len(counts))
        return [
            "".join(letters[place] for place in random.integers(0, *one)) for one in zip(known, counts, strict=True)
        ]

    rows = [(made(), made()) for _ in range(3000)]  # more letters than are sorted at a time
    found = chrf_matrices(rows)
    scorer = CHRF()
    for row in (0, 1, 2, 1500, 2998, 2999):
        hypotheses, references = rows[row]
        expected = [[scorer.sentence_score(one, [other]).score for other in references] for one in hypotheses]
        np.testing.assert_allclose(found[row], expected, atol=1e-9)
    assert [matrix.shape for matrix in found] == [(len(one), len(other)) for one, other in rows]


def test_by_chrf_to_the_reference_all_utilities_are_kept() -> None:
    rows = nbest([(text, -0.1 * place) for place, text in enumerate(TEXTS)])
    row = chosen(rows, [REFERENCE], metric="chrf")[0]
    expected = [CHRF().sentence_score(text, [REFERENCE]).score for text in TEXTS]
    assert row["utility"] == pytest.approx(expected, rel=1e-6)
    assert row["index"] == expected.index(max(expected))
    assert row["target"] == TEXTS[expected.index(max(expected))]
    assert row["target_tokens"] == TEXTS[expected.index(max(expected))].split()
    assert row["metric"] == "chrf"


@pytest.mark.parametrize("tokenizer", ["13a", "char"])
def test_by_bleu_to_the_reference(tokenizer: str) -> None:
    rows = nbest([(text, -0.1 * place) for place, text in enumerate(TEXTS)])
    row = chosen(rows, [REFERENCE], metric="bleu", bleu_tokenizer=tokenizer)[0]
    scorer = BLEU(effective_order=True, tokenize=tokenizer)
    expected = [scorer.sentence_score(text, [REFERENCE]).score for text in TEXTS]
    assert row["utility"] == pytest.approx(expected, rel=1e-6)
    assert row["index"] == expected.index(max(expected))


def test_minimum_bayes_risk_is_the_mean_chrf_to_all_others() -> None:
    rows = nbest([(text, -0.1 * place) for place, text in enumerate(TEXTS)])
    row = chosen(rows, [REFERENCE], metric="mbr-chrf")[0]
    scorer, places = CHRF(), range(len(TEXTS))
    expected = [
        sum(scorer.sentence_score(TEXTS[one], [TEXTS[other]]).score for other in places if other != one) / 4
        for one in places
    ]
    assert row["utility"] == pytest.approx(expected, rel=1e-6)
    assert row["index"] == expected.index(max(expected)) == 0


def test_rows_without_reference_fall_back() -> None:
    rows = nbest([("a b", -1.0), ("a c", -2.0)], [("x", -1.0), ("y z", -2.0), ("y z w", -3.0)], [("x", -1.0)])
    found = chosen(rows, ["a c", None, ""], metric="chrf")
    # Recall weighs more in chrF, so the longer hypothesis is nearer to the shorter than the other way round.
    assert [(row["metric"], row["index"]) for row in found] == [("chrf", 1), ("mbr-chrf", 2), ("mbr-chrf", 0)]
    found = chosen(rows, ["a c", None, None], metric="chrf", fallback="score")
    assert [(row["metric"], row["index"]) for row in found] == [("chrf", 1), ("score", 0), ("score", 0)]


def test_the_teachers_score_decides_where_asked_and_on_ties() -> None:
    rows = nbest([("a", -3.0), ("b", -1.0), ("c", -2.0)], [("x y", -2.0), ("y x", -1.0), ("x y", -1.5)])
    assert chosen(rows, ["a", "x y"], metric="score")[0]["index"] == 1
    tied = chosen(rows, ["a", "x y"], metric="chrf")[1]
    assert (tied["index"], tied["teacher_score"]) == (2, -1.5)
    same = nbest([("x", -1.0), ("x", -1.0)])
    assert chosen(same, ["x"], metric="chrf")[0]["index"] == 0


def test_of_several_teachers_the_best_hypothesis_wins_and_is_named() -> None:
    rows = nbest([("a b", -1.0), ("a c", -2.0)], [("x", -1.0), ("x y", -3.0)])
    rows[0][1]["teacher"] = rows[1][1]["teacher"] = "small"
    found = chosen(rows, ["a c", "x"], metric="chrf")
    assert [(row["target"], row["teacher"]) for row in found] == [("a c", "small"), ("x", "teacher")]


def test_a_row_that_was_not_translated_passes_through() -> None:
    row = chosen(nbest([("", -1e4)]), [None])[0]
    assert (row["target"], row["target_tokens"], row["utility"]) == ("", [], [0.0])


def test_counters_tell_what_chose() -> None:
    config = select.Config()
    rows = nbest([("a b", -1.0), ("a c", -2.0)], [("x", -1.0)])
    result = select.run(table(rows, ["a c", None]), config, select.load(config, {}, Runtime()))
    assert select.count(result) == {"first": 1, "by_chrf": 1, "by_mbr-chrf": 1, "of_teacher": 2}


def test_the_fallback_cannot_need_a_reference() -> None:
    with pytest.raises(ValidationError):
        select.Config(fallback="bleu")  # type: ignore[arg-type]


def test_the_reference_itself_can_be_the_target(tmp_path: Path) -> None:
    settings = select.Config(metric="reference", fallback="score")
    rows = nbest([("a b", -1.0), ("a c", -2.0)], [("d", -2.0), ("e", -1.0)])
    resources = select.load(settings, {"tokenizer": words_tokenizer(tmp_path)}, Runtime())
    given, bare = select.run(table(rows, ["a c d", None]), settings, resources).to_pylist()
    assert (given["target"], given["target_tokens"], given["metric"]) == ("a c d", ["a", "c", "d"], "reference")
    assert given["index"] is given["teacher_score"] is given["teacher"] is None
    scorer = CHRF()
    np.testing.assert_allclose(
        given["utility"], [scorer.sentence_score(one, ["a c d"]).score for one in ("a b", "a c")], rtol=1e-6
    )
    assert (bare["target"], bare["target_tokens"], bare["metric"]) == ("e", ["e"], "score")
    assert (bare["index"], bare["teacher_score"]) == (1, -1.0)
