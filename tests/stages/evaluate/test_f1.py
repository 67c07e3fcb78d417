"""Word F1 by hand, and its precision against sacrebleu's of unigrams."""

import pytest
from sacrebleu.metrics import BLEU

from stages.evaluate.f1 import score_f1
from stages.evaluate.quality import Scoring

SCORING = Scoring("13a", 100, 12345)


def test_words_count_as_often_as_both_texts_have_them() -> None:
    # b twice and c once of 4 + 2 words are among the 3 + 3 of the references.
    [found] = score_f1({"student": ["a b b c", "e f"]}, ["b b d", "x c e"], SCORING).values()
    assert (found["matched"], found["words"], found["reference_words"]) == (3, 6, 6)
    assert found["precision"] == pytest.approx(50)
    assert found["recall"] == pytest.approx(50)
    assert found["f1"] == pytest.approx(50)


def test_f1_is_the_harmonic_mean_over_the_whole_test_set() -> None:
    [found] = score_f1({"student": ["a b c d", ""]}, ["a b", "q r s t"], SCORING).values()
    precision, recall = 2 / 4, 2 / 6
    assert found["f1"] == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    low, high = found["f1_interval"]
    assert low <= found["f1"] <= high


@pytest.mark.parametrize(
    ("tokenizer", "lines", "references"),
    [
        ("13a", ["Turn it off, please.", "The {name} is on"], ["Please turn it off.", "{name} is on, is on"]),
        ("zh", ["打开灯光", "关闭"], ["打开灯", "关闭 它"]),
    ],
)
def test_precision_is_sacrebleus_of_single_words(tokenizer: str, lines: list[str], references: list[str]) -> None:
    expected = BLEU(tokenize=tokenizer, max_ngram_order=1).corpus_score(lines, [references])
    found = score_f1({"student": lines}, references, Scoring(tokenizer, 100, 1))["student"]
    assert found["precision"] == pytest.approx(expected.precisions[0])
    assert (found["matched"], found["words"]) == (expected.counts[0], expected.totals[0])
    assert found["reference_words"] == expected.ref_len
    assert f"tok:{tokenizer}|" in found["signature"]


def test_nothing_at_all_scores_nothing() -> None:
    assert score_f1({"student": [""]}, [""], SCORING)["student"]["f1"] == 0
