"""The default rules on what people wrote: some four hundred pairs of fifteen languages, in both directions.

The pairs, in human_pairs.tsv, are texts of Home Assistant (Apache-2.0, https://www.home-assistant.io), drawn at random
by `python -m bench.human_text --sample`. All texts that there are, and what is rejected of them: docs/filters.md.
"""

import csv
from pathlib import Path

import pytest

from bench.human_text import HEAD, LANGUAGES, Pair, failures
from stages.filter.stage import Rules
from stages.languages.identification import LanguageIdentifier

SAMPLE = Path(__file__).with_name("human_pairs.tsv")
# Of 846 pairs, both directions counted: 0.3% would be two and a half.
MOST = 2


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(known=LANGUAGES)


def human_pairs() -> list[tuple[str, Pair]]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert tuple(rows[0]) == HEAD
    return [(row["target_language"], (row["source"], row["target"])) for row in rows]


def both_ways() -> list[tuple[Pair, tuple[str, str]]]:
    there = [(pair, ("en", language)) for language, pair in human_pairs()]
    return there + [(pair[::-1], (language, "en")) for language, pair in human_pairs()]


def test_next_to_nothing_that_people_wrote_is_rejected(identifier: LanguageIdentifier) -> None:
    rules = Rules()
    pairs = both_ways()
    assert len(pairs) > 800
    assert {language for language, _ in human_pairs()} == set(LANGUAGES)
    rejected = [(pair, found) for pair, tags in pairs if (found := failures(pair, tags, identifier, rules))]
    assert len(rejected) <= MOST, rejected


def share(pairs: list[tuple[Pair, tuple[str, str]]], rule: str, identifier: LanguageIdentifier) -> float:
    rules = Rules()
    return sum(rule in failures(pair, tags, identifier, rules) for pair, tags in pairs) / max(len(pairs), 1)


def test_the_same_pairs_are_rejected_once_they_are_spoilt(identifier: LanguageIdentifier) -> None:
    pairs = both_ways()
    long = [(pair, tags) for pair, tags in pairs if min(map(len, pair)) >= 40]
    assert len(long) > 100
    copies = [((source, source), tags) for (source, _), tags in long]
    assert share(copies, "source_copy", identifier) > 0.98
    loops = [((source, target + target[-6:] * 40), tags) for (source, target), tags in long]
    assert share(loops, "repetition", identifier) > 0.95
    cut = [((source, target[: len(target) // 12]), tags) for (source, target), tags in long]
    assert share(cut, "length_ratio", identifier) > 0.6
    numbered = [((f"{source} 3,750.5", f"{target} 3750"), tags) for (source, target), tags in pairs]
    assert share(numbered, "numbers_lost", identifier) == 1
    held = [((f"{source} {{name}}", target), tags) for (source, target), tags in pairs]
    assert share(held, "placeholders_lost", identifier) > 0.99


def test_another_of_these_languages_is_told(identifier: LanguageIdentifier) -> None:
    texts = {language: [pair[1] for tag, pair in human_pairs() if tag == language] for language in LANGUAGES}
    everything: list[bool] = []
    for language, other in zip(LANGUAGES, (*LANGUAGES[1:], LANGUAGES[0]), strict=True):
        found = [identifier.probability(text, "en", other) for text in texts[language]]
        told = [value < 0.1 for value in found if value is not None]
        assert sum(told) >= 0.65 * len(told), (language, other, told)
        everything += told
    assert len(everything) > 100
    assert sum(everything) > 0.95 * len(everything), (sum(everything), len(everything))
