"""Scores and significance against sacrebleu called directly, and its command."""

import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import _bootstrap_resample

from data.errors import DataError
from stages.evaluate.quality import Scoring, bleu_tokenizer, compare_systems, score_systems, two_sided

SENTENCE = "turn the light on off in kitchen sensor value is not found at home { name } , 42"
WORDS = SENTENCE.split()
SEED = 12345  # sacrebleu's own


def sentences(seed: int, count: int = 60) -> list[str]:
    random_ = random.Random(seed)  # noqa: S311
    return [" ".join(random_.choices(WORDS, k=random_.randint(2, 12))) for _ in range(count)]


def altered(lines: list[str], rate: float, seed: int) -> list[str]:
    random_ = random.Random(seed)  # noqa: S311
    return [
        " ".join(random_.choice(WORDS) if random_.random() < rate else word for word in line.split()) for line in lines
    ]


REFERENCES = sentences(0)
SYSTEMS = {"teacher": altered(REFERENCES, 0.2, 1), "student": altered(REFERENCES, 0.3, 2)}


@pytest.mark.parametrize("seed", [SEED, 7])
@pytest.mark.parametrize("at_once", [1, 1000, 1 << 20])
def test_scores_and_resamples_are_sacrebleus(monkeypatch: pytest.MonkeyPatch, seed: int, at_once: int) -> None:
    """Resample by resample: an interval ends at percentiles of sacrebleu's own scores, whatever is held at once."""
    monkeypatch.setattr("stages.evaluate.resampling._AT_ONCE", at_once)
    monkeypatch.setattr("stages.evaluate.quality._COUNTED_AT_ONCE", 7)
    scores = score_systems(SYSTEMS, REFERENCES, Scoring("13a", 200, seed))
    monkeypatch.setenv("SACREBLEU_SEED", str(seed))
    for name, lines in SYSTEMS.items():
        for key, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
            expected = metric.corpus_score(lines, [REFERENCES], n_bootstrap=200)
            stats = metric._extract_corpus_statistics(lines, [REFERENCES])
            resampled = [float(each.score) for each in _bootstrap_resample(stats, metric, 200)[1]]
            assert scores[name][key] == pytest.approx(expected.score, rel=1e-12)
            assert scores[name][f"{key}_interval"] == np.percentile(resampled, [2.5, 97.5]).tolist()
            assert scores[name]["signatures"][key] == str(metric.get_signature())


def test_memory_grows_with_the_sentences_and_not_with_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """All resamples at once would be 28 kB a sentence, and the n-grams of all references some 10 kB."""
    monkeypatch.setattr("stages.evaluate.resampling._AT_ONCE", 1 << 12)
    monkeypatch.setattr("stages.evaluate.quality._COUNTED_AT_ONCE", 100)
    few, many = 150, 450

    def peak(count: int) -> int:
        references, scoring = sentences(5, count), Scoring(samples=400)
        systems = {"a": references, "b": altered(references, 0.3, 1)}
        tracemalloc.start()
        score_systems({"b": systems["b"]}, references, scoring, ("chrf",))
        compare_systems(systems, references, [("a", "b")], scoring)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert (peak(many) - peak(few)) / (many - few) < 4000


def test_no_interval_leaves_what_the_metric_can_be() -> None:
    """Of few and short sentences the mean of the resamples less half their spread would be below 0."""
    references = sentences(3, 12)
    lines = [references[0], *(altered(references[1:], 0.9, 4))]
    found = score_systems({"a": lines}, references, Scoring())["a"]
    for key in ("bleu", "chrf", "ter"):
        low, high = found[f"{key}_interval"]
        assert 0 <= low <= found[key] <= high


def test_scores_are_those_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "reference").write_text("\n".join(REFERENCES) + "\n")
    (tmp_path / "system").write_text("\n".join(SYSTEMS["student"]) + "\n")
    command = [sys.executable, "-m", "sacrebleu", "reference", "-i", "system", "-m", "chrf", "-b", "-w", "4"]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    scores = score_systems(SYSTEMS, REFERENCES, Scoring("13a", 100, SEED))
    assert scores["student"]["chrf"] == pytest.approx(float(printed), abs=1e-4)


@pytest.mark.parametrize("seed", [SEED, 7])
def test_comparison_is_of_sacrebleus_resamples(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    found = compare_systems(SYSTEMS, REFERENCES, [("student", "teacher")], Scoring("13a", 300, seed))
    monkeypatch.setenv("SACREBLEU_SEED", str(seed))
    [row] = found
    assert (row["system"], row["against"]) == ("student", "teacher")
    for key, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        scores, resampled = [], []
        for name in ("student", "teacher"):
            scores.append(metric.corpus_score(SYSTEMS[name], [REFERENCES]).score)
            stats = metric._extract_corpus_statistics(SYSTEMS[name], [REFERENCES])
            resampled.append(np.array([each.score for each in _bootstrap_resample(stats, metric, 300)[1]]))
        differences = resampled[0] - resampled[1]
        assert row[key]["difference"] == pytest.approx(scores[0] - scores[1])
        assert row[key]["interval"] == pytest.approx(np.percentile(differences, [2.5, 97.5]).tolist(), abs=1e-4)
        assert row[key]["p_value"] == pytest.approx(2 * ((differences >= 0).sum() + 1) / 301)


@pytest.mark.parametrize("shift", [0.0, 1.0, -1.96, 2.5])
def test_p_is_that_of_a_normal_difference(shift: float) -> None:
    differences = (np.random.default_rng(1).normal(size=200_000) + shift).tolist()
    assert two_sided(differences) == pytest.approx(2 * NormalDist().cdf(-abs(shift)), abs=0.005)


def test_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    """Two systems equally good on average: 95% intervals must hold 0 in about 95% of test sets."""
    held = 0
    for seed in range(20):
        references = sentences(1000 + seed, 40)
        pair = {"a": altered(references, 0.3, 2 * seed), "b": altered(references, 0.3, 2 * seed + 1)}
        [row] = compare_systems(pair, references, [("a", "b")], Scoring("13a", 100, SEED))
        low, high = row["chrf"]["interval"]
        held += low <= 0 <= high
    assert 16 <= held <= 20


def test_a_system_that_matches_nothing_now_and_then_has_an_interval() -> None:
    """sacrebleu's own bootstrap fails on it: resamples without any match score 0 in another type."""
    lines = ["x y z q"] * 3 + [REFERENCES[3]]
    found = score_systems({"student": lines}, REFERENCES[:4], Scoring("13a", 200, SEED))["student"]
    for key, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        assert found[key] == pytest.approx(metric.corpus_score(lines, [REFERENCES[:4]]).score)
        low, high = found[f"{key}_interval"]
        assert low < high


def test_equal_output_is_no_difference() -> None:
    pair = {"a": SYSTEMS["teacher"], "b": list(SYSTEMS["teacher"])}
    [row] = compare_systems(pair, REFERENCES, [("a", "b")], Scoring("13a", 100, SEED))
    assert row["chrf"] == {"difference": 0.0, "interval": [0.0, 0.0], "p_value": 1.0}


def test_missing_hypotheses_are_an_error_not_a_perfect_score() -> None:
    with pytest.raises(DataError, match=r"student: 1 hypotheses for 60 references"):
        score_systems({"student": REFERENCES[:1]}, REFERENCES, Scoring("13a", 100, SEED))
    with pytest.raises(DataError, match="no references"):
        score_systems({"student": []}, [], Scoring("13a", 100, SEED))


@pytest.mark.parametrize(
    ("language", "tokenizer"), [("de", "13a"), ("zh-Hans", "zh"), ("ja", "char"), ("ko", "char"), ("pt-BR", "13a")]
)
def test_words_are_told_apart_as_the_language_writes_them(language: str, tokenizer: str) -> None:
    assert bleu_tokenizer(language) == tokenizer
    score_systems({"a": ["一 二"]}, ["一 二"], Scoring(tokenizer, 100, SEED))


@pytest.mark.parametrize("language", ["zh-Hans", "zh-TW", "ja"])
def test_ter_of_han_and_kana_is_of_signs_and_words(language: str) -> None:
    references = ["无法与设备建立连接，请重试。", "设备已经打开了，请关闭它。"]
    lines = [references[0].replace("建", ""), references[1].replace("已", "")]
    scoring = Scoring("13a", 100, SEED).of_languages([language], tokenizer_by_language=True)
    found = score_systems({"a": lines}, references, scoring)["a"]
    oracle = TER(normalized=True, asian_support=True)
    assert found["ter"] == pytest.approx(oracle.corpus_score(lines, [references]).score)
    assert found["ter"] < 12, "one sign in thirteen is missing, and not the sentence"
    assert "asian:yes" in found["signatures"]["ter"]


@pytest.mark.parametrize("languages", [["th"], ["km"], ["de", "lo"], ["my"]])
def test_ter_is_left_out_where_nobody_can_tell_words_apart(languages: list[str]) -> None:
    scoring = Scoring("13a", 100, SEED).of_languages(languages, tokenizer_by_language=False)
    found = score_systems({"a": ["การเชื่อมต่อล้มเหลว"]}, ["การเชื่อมต่อ"], scoring)["a"]
    assert "ter" not in found
    assert set(found["signatures"]) == {"bleu", "chrf"}


def test_of_languages_that_are_cut_in_different_ways_bleu_has_the_usual_one() -> None:
    scoring = Scoring("intl", 100, SEED)
    assert scoring.of_languages(["de", "ko"], tokenizer_by_language=True).tokenizer == "13a"
    assert scoring.of_languages(["ja", "ko"], tokenizer_by_language=True) == Scoring("char", 100, SEED, "asian")
    assert scoring.of_languages(["de"], tokenizer_by_language=False) == Scoring("intl", 100, SEED, "tercom")
