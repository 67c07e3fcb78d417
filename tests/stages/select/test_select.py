"""Selection, against sacrebleu pair by pair."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sacrebleu import BLEU, CHRF

from data import schema
from data.errors import DataError
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


@pytest.mark.parametrize(
    ("language", "tokenizer", "texts", "reference"),
    [
        ("zh-Hans", "zh", ["设备已经打开了。", "请打开这个设备。", "关闭"], "请打开设备。"),
        ("ja", "char", ["デバイスは閉じています。", "デバイスを開いてください。", "閉じる"], "デバイスを開いて。"),
        ("th", "char", ["อุปกรณ์ปิดอยู่", "โปรดเปิดอุปกรณ์นี้", "ปิด"], "โปรดเปิดอุปกรณ์"),
        ("de", "13a", ["Das Gerät ist an", "Bitte schalten Sie es ein", "Aus"], "Schalten Sie es ein"),
    ],
)
def test_bleu_is_of_the_target_language_s_words(
    language: str, tokenizer: str, texts: list[str], reference: str
) -> None:
    config = select.Config(metric="bleu")
    rows = nbest([(text, -float(place)) for place, text in enumerate(texts)])
    given = table(rows, [reference]).append_column("target_language", [[language]])
    row = select.run(given, config, select.load(config, {}, Runtime())).to_pylist()[0]
    scorer = BLEU(effective_order=True, tokenize=tokenizer)
    expected = [scorer.sentence_score(text, [reference]).score for text in texts]
    assert row["utility"] == pytest.approx(expected, rel=1e-6)
    assert row["index"] == 1 == expected.index(max(expected))
    assert row["teacher_score"] == -1.0, "and not the teacher's favourite"


def of_a_column(path: Path, **column: object) -> select.Config:
    columns = [{"name": "qe", "path": str(path), **column}, {"name": "other", "path": "nowhere.tsv"}]
    return select.Config.model_validate({"metric": "column:qe", "fallback": "score", "columns": columns})


def test_a_file_can_choose_and_a_row_that_it_does_not_know_whole_is_chosen_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "qe.tsv"
    lines = ["id\ttarget\tqe", "id0\ta b\t0.5", "id0\ta  c\t0.9", "id1\tx\t0.1", "id2\tz\t", "id3\tw\t1"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = nbest([("a b", -1.0), ("a c", -2.0)], [("x", -1.0), ("y", -2.0)], [("z", -1.0)], [("w", -3.0), ("w", -1.0)])
    config = of_a_column(path)
    assert [column.name for column in config.columns] == ["qe"], "a column that chooses nothing makes nothing anew"
    result = select.run(table(rows, ["a b", None, "z", None]), config, select.load(config, {}, Runtime()))
    found = result.to_pylist()
    assert [(row["index"], row["metric"]) for row in found] == [
        (1, "column:qe"), (0, "score"), (0, "score"), (1, "column:qe"),
    ]  # fmt: skip
    assert found[0]["utility"] == pytest.approx([0.5, 0.9])
    assert found[1]["utility"] == [-1.0, -2.0]
    assert select.count(result)["by_column:qe"] == 2


def test_of_a_column_the_smallest_value_can_be_the_best_and_ranks_name_hypotheses(tmp_path: Path) -> None:
    path = tmp_path / "loss.parquet"
    names = {"id": ["id0", "id0", "id1", "id1"], "rank": [1, 0, 0, 1], "nats": [0.5, 2.5, 1.0, 7.0]}
    pq.write_table(pa.table(names), path)
    config = of_a_column(path, value="nats", higher_is_better=False)
    rows = nbest([("a", -1.0), ("b", -2.0)], [("a", -1.0), ("b", -2.0)])
    found = select.run(table(rows, [None, None]), config, select.load(config, {}, Runtime())).to_pylist()
    assert [row["index"] for row in found] == [1, 0]
    assert found[0]["utility"] == [-2.5, -0.5]


def test_a_file_that_names_no_hypothesis_cannot_choose(tmp_path: Path) -> None:
    path = tmp_path / "qe.tsv"
    path.write_text("id\tqe\nid0\t1\n", encoding="utf-8")
    config = of_a_column(path)
    with pytest.raises(DataError, match=r"tells rows apart by id alone.*add the column target, or rank"):
        select.load(config, {}, Runtime())


@pytest.mark.parametrize(
    ("metric", "fault"), [("column:q", "no .*columns.* of that name; there is none"), ("blue", "expected one of score")]
)
def test_a_metric_that_there_is_none_of_is_a_fault(metric: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        select.Config(metric=metric)
