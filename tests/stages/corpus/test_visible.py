"""What shows nothing is no text: sources are rejected, references count as missing."""

import sys
import unicodedata
from pathlib import Path

import pytest

from stages.corpus.visible import shows
from tests.fixtures.corpora import make_corpus, tsv

# By their names in Unicode, so that nobody has to trust numbers.
BLANK = [
    "ZERO WIDTH SPACE", "ZERO WIDTH NON-JOINER", "ZERO WIDTH JOINER", "ZERO WIDTH NO-BREAK SPACE", "WORD JOINER",
    "SOFT HYPHEN", "LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "ARABIC LETTER MARK", "LEFT-TO-RIGHT ISOLATE",
    "POP DIRECTIONAL FORMATTING", "INVISIBLE TIMES", "NO-BREAK SPACE", "OGHAM SPACE MARK", "IDEOGRAPHIC SPACE",
    "LINE SEPARATOR", "PARAGRAPH SEPARATOR", "MONGOLIAN VOWEL SEPARATOR", "HANGUL FILLER", "HALFWIDTH HANGUL FILLER",
    "HANGUL CHOSEONG FILLER", "HANGUL JUNGSEONG FILLER", "BRAILLE PATTERN BLANK", "COMBINING GRAPHEME JOINER",
    "VARIATION SELECTOR-1", "VARIATION SELECTOR-16", "VARIATION SELECTOR-17", "VARIATION SELECTOR-256",
    "MONGOLIAN FREE VARIATION SELECTOR ONE", "KHMER VOWEL INHERENT AQ", "LANGUAGE TAG", "TAG LATIN SMALL LETTER A",
    "CANCEL TAG", "INTERLINEAR ANNOTATION ANCHOR", "OBJECT REPLACEMENT CHARACTER", "MUSICAL SYMBOL BEGIN BEAM",
    "MUSICAL SYMBOL NULL NOTEHEAD", "KHITAN SMALL SCRIPT FILLER", "SHORTHAND FORMAT LETTER OVERLAP",
]  # fmt: skip
SHOWN = [
    "a", "1", "!", "漢", "ก", "ﷺ", "🙂", "👨\u200d👩\u200d👧", "❤\ufe0f", "\N{REPLACEMENT CHARACTER}", "가", "अ", "~",
    "\N{BRAILLE PATTERN DOTS-1}",
]  # fmt: skip


@pytest.mark.parametrize("name", BLANK)
def test_a_text_of_what_does_not_show_is_none(tmp_path: Path, name: str) -> None:
    blank = unicodedata.lookup(name)
    assert not shows(blank * 3)
    assert not shows(f" {blank} \x01\t{blank}")
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [(blank, "Eins"), (f"{blank} {blank}", ""), ("Two", blank)]))
    assert made.pairs() == [("Two", None)]
    assert made.reasons() == ["empty_source", "empty_source"]


@pytest.mark.parametrize("text", SHOWN)
def test_what_shows_is_text_whatever_stands_around_it(text: str) -> None:
    assert shows(text)
    assert shows(f"\N{ZERO WIDTH SPACE}{text}\N{RIGHT-TO-LEFT MARK}")


def test_no_control_no_space_and_no_mark_of_format_shows_and_every_letter_and_number_does() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category in {"Cc", "Cf", "Zs", "Zl", "Zp"}:
            assert not shows(character), hex(code)
        elif category[0] in "LNP" and "FILLER" not in unicodedata.name(character, ""):
            assert shows(character), hex(code)


def test_controls_alone_are_no_text_and_cost_nothing_inside_of_one(tmp_path: Path) -> None:
    made = make_corpus(tmp_path, tsv(tmp_path, "a", [("\x01", "Eins"), ("\x7f\x85", "Zwei"), ("Thr\x01ee", "Drei")]))
    assert made.pairs() == [("Thr\x01ee", "Drei")]
    assert made.reasons() == ["empty_source", "empty_source"]
