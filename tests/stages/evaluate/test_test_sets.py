"""Several test sets, each against sacrebleu on its own lines."""

import pyarrow as pa
import pytest
from sacrebleu import corpus_bleu, corpus_chrf

from stages.evaluate.quality import Scoring
from stages.evaluate.test_sets import score_test_sets

ROWS = pa.table(
    {
        "origin": ["news", "talks", "news", "talks", "news"],
        "source_language": ["en"] * 5,
        "target_language": ["ja", "de", "ja", "de", "ja"],
        "reference": ["これは本です", "das ist gut", "猫が好き", "wo ist es denn", "今日は雨"],
    }
)
LINES = {"student": ["これは本だ", "das ist gut so", "猫が好き", "wo ist es", "今日は晴れ"]}
PLACES = {"news": [0, 2, 4], "talks": [1, 3]}


@pytest.mark.parametrize(("by_language", "tokenizers"), [(True, ("char", "13a")), (False, ("13a", "13a"))])
def test_each_set_is_scored_alone_as_sacrebleu_scores_it(by_language: bool, tokenizers: tuple[str, str]) -> None:
    found = score_test_sets(["news", "talks"], ROWS, LINES, Scoring("13a", 100, 1), tokenizer_by_language=by_language)
    assert [(one["name"], one["sentences"], one["target_language"]) for one in found] == [
        ("news", 3, "ja"),
        ("talks", 2, "de"),
    ]
    for one, tokenizer in zip(found, tokenizers, strict=True):
        lines, references = (
            [texts[place] for place in PLACES[one["name"]]]
            for texts in (LINES["student"], ROWS["reference"].to_pylist())
        )
        scores = one["systems"]["student"]
        assert scores["chrf"] == pytest.approx(corpus_chrf(lines, [references]).score, abs=1e-4)
        assert scores["bleu"] == pytest.approx(corpus_bleu(lines, [references], tokenize=tokenizer).score, abs=1e-4)
        assert scores["chrf_interval"][0] <= scores["chrf"] <= scores["chrf_interval"][1]


@pytest.mark.parametrize("names", [[], ["news"]])
def test_one_set_alone_is_not_told_apart(names: list[str]) -> None:
    assert score_test_sets(names, ROWS, LINES, Scoring(), tokenizer_by_language=True) == []
