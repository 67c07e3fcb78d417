"""Pairs told apart, and each scored alone: against sacrebleu on the rows picked out by hand."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
import sacrebleu

from data.language_tags import Direction
from data.model_folder import TeacherInfo
from stages.evaluate.hallucinations import Config as Hallucinations
from stages.evaluate.pairs import Candidate, chosen, score_pairs, standing, told_apart, translate_apart
from stages.evaluate.quality import Scoring

NAMES = {"en": "en", "de": "de", "sv": "sv"}
EN_DE, EN_SV, SV_DE = Direction("en", "de"), Direction("en", "sv"), Direction("sv", "de")


def info(**changes: object) -> TeacherInfo:
    values = {
        "kind": "student",
        "source_vocabulary_size": 9,
        "target_vocabulary_size": 9,
        "vocabulary_digest": "0",
        "parameters": 1,
        "quantization": "int8",
        "digest": "0",
    }
    return TeacherInfo(**(values | changes))


MANY = info(source_prefix=("<2{target}>",), language_names=NAMES, pairs=("en-de", "en-sv"))
ONE = info(pairs=("en-de",))


def candidate(model: TeacherInfo, mark: str) -> Candidate:
    def translate(lines: Sequence[str], directions: Sequence[Direction]) -> list[str]:
        return [f"{line} {mark} {direction}" for line, direction in zip(lines, directions, strict=True)]

    return Candidate(model, translate)


def rows(order: Sequence[Direction]) -> pa.Table:
    return pa.table(
        {
            "source": [f"a line with number {number}" for number in range(len(order))],
            "reference": [f"a line with number {number} student en-de" for number in range(len(order))],
            "source_language": [direction.source for direction in order],
            "target_language": [direction.target for direction in order],
        }
    )


def test_a_model_learned_a_direction_or_knows_its_languages_or_cannot_be_asked() -> None:
    assert [standing(MANY, each) for each in (EN_SV, SV_DE, Direction("en", "fr"))] == ["learned", "zero-shot", None]
    assert [standing(ONE, each) for each in (EN_DE, EN_SV)] == ["learned", None]
    assert standing(info(), SV_DE) == "learned"  # it says nothing of pairs: it is for all
    open_to_all = info(source_prefix=("<2{target}>",), language_names=NAMES)
    assert [standing(open_to_all, each) for each in (SV_DE, Direction("en", "fr"))] == ["learned", None]


def test_rows_are_compared_where_all_models_learned_the_pair() -> None:
    table = rows([EN_DE, SV_DE, EN_SV, EN_DE])
    common, apart = told_apart(table, [MANY, ONE])
    assert common["source"].to_pylist() == [table["source"][0].as_py(), table["source"][3].as_py()]
    assert apart["source"].to_pylist() == [table["source"][1].as_py(), table["source"][2].as_py()]


def test_of_several_teachers_the_one_that_learned_a_pair_is_asked() -> None:
    first, second = candidate(info(pairs=("en-de",)), "first"), candidate(info(pairs=("en-sv",)), "second")
    many = candidate(MANY, "many")
    assert chosen([first, second], EN_SV) == (second, "learned")
    assert chosen([many, candidate(info(pairs=("sv-de",)), "x")], SV_DE)[1] == "learned"  # type: ignore[index]
    assert chosen([first, second], SV_DE) is None
    found = translate_apart(rows([EN_SV, SV_DE]), {"teacher": [first, second], "student": [many]})
    assert found["teacher"] == ["a line with number 0 second en-sv", None]
    assert found["student"][1] == "a line with number 1 many sv-de"


def test_each_pair_has_its_own_scores_and_those_never_learned_come_last() -> None:
    order = [SV_DE, EN_DE, EN_SV, EN_DE, SV_DE, EN_SV]
    table = rows(order)
    systems = {"teacher": [candidate(ONE, "teacher")], "student": [candidate(MANY, "student")]}
    translated = translate_apart(table, systems)
    found = score_pairs(table, translated, systems, Scoring(samples=100), Hallucinations(), tokenizer_by_language=True)
    assert [(pair["pair"], pair["sentences"], pair["zero_shot"]) for pair in found] == [
        ("en-de", 2, False),
        ("en-sv", 2, False),
        ("sv-de", 2, True),
    ]
    assert [sorted(pair["systems"]) for pair in found] == [["student", "teacher"], ["student"], ["student"]]
    assert found[2]["systems"]["student"]["zero_shot"]
    places = [number for number, direction in enumerate(order) if direction == SV_DE]
    lines = [f"a line with number {number} student sv-de" for number in places]
    references = [f"a line with number {number} student en-de" for number in places]
    expected = sacrebleu.corpus_chrf(lines, [references]).score
    assert found[2]["systems"]["student"]["chrf"] == pytest.approx(expected)
    assert found[0]["systems"]["student"]["chrf"] == pytest.approx(100)


def test_translations_into_another_pairs_language_are_counted() -> None:
    german = "Die Verbindung zum Gerät konnte nicht hergestellt werden"
    swedish = "Anslutningen till enheten kunde inte upprättas"
    table = rows([EN_DE, EN_SV, EN_SV])
    systems = {"student": [candidate(MANY, "student")]}
    lines = {"student": [german, german, swedish]}
    among = Hallucinations(other_languages=("de", "en", "sv"))
    found = score_pairs(table, lines, systems, Scoring(samples=100), among, tokenizer_by_language=True)
    wrong = {pair["pair"]: pair["systems"]["student"]["wrong_language"] for pair in found}
    assert wrong == {"en-de": {"count": 0, "of": 1}, "en-sv": {"count": 1, "of": 2}}
    silent = Hallucinations(enabled=False)
    [first, _] = score_pairs(table, lines, systems, Scoring(samples=100), silent, tokenizer_by_language=True)
    assert "wrong_language" not in first["systems"]["student"]
