"""Capitals, and letters without their marks, as a language writes them."""

import re
import unicodedata

from stages.noise.kept import is_free, kept_spans

# Where i has its dot in capitals, too.
_DOTTED = {"tr", "az", "crh", "tt"}
# Unicode has capitals for Georgian, of 2018, which nobody writes sentences with.
_NO_CAPITALS = re.compile("[\u10d0-\u10ff]")
_FIRST_LETTER = re.compile(r"(?<!\S)[^\w\s]*+([^\W\d_])")
_ACUTE = "\u0301"
# Those whose mark is a stroke, or a dot less: no decomposition has them.
_STROKES = str.maketrans("łŁøØđĐħĦŧŧıƶ", "lLoOdDhHtTiz")
_BASES = ("LATIN", "GREEK")
# Vowels and the like of Arabic and Hebrew, which most texts lack.
_POINTS = re.compile("[\u064b-\u0652\u0670\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7]")


def in_upper_case(text: str, language: str) -> str:
    """All in capitals but what stays."""
    parts, place = [], 0
    for start, end in [*kept_spans(text), (len(text), len(text))]:
        parts += [_upper(text[place:start], language), text[start:end]]
        place = end
    return "".join(parts)


def in_title_case(text: str, language: str) -> str:
    """A capital at the beginning of every word between spaces; other letters stay as they are."""
    kept = kept_spans(text)
    dutch = _base(language) == "nl"

    def written(match: re.Match[str]) -> str:
        place, letter = match.start(1), match[1]
        if not is_free(kept, place, place + 1) or _NO_CAPITALS.match(letter):
            return match[0]
        if dutch and text[place : place + 2] == "ij":
            letter = "I"
        elif letter == "i" and _base(language) in _DOTTED:
            letter = "İ"
        else:
            letter = letter.title()
        return match[0][: place - match.start()] + letter

    found = _FIRST_LETTER.sub(written, text)
    return re.sub(r"(?<![^\W_])Ij(?=[^\W\d_])", "IJ", found) if dutch else found


def without_diacritics(text: str) -> str:
    """Letters of Latin and Greek without their marks, of Arabic and Hebrew without points; others as they are.

    Marks of other scripts are letters: without them nobody could read Hindi or Thai.
    """
    kept, parts = kept_spans(text), list[str]()
    for place, character in enumerate(text):
        free = not character.isascii() and is_free(kept, place, place + 1)
        parts.append(_bare(character, "".join(parts[-1:])) if free else character)
    return "".join(parts)


def _bare(character: str, before: str) -> str:
    """A letter without marks; nothing for a mark on a letter that loses it."""
    if _POINTS.match(character) or (unicodedata.combining(character) and _loses_marks(before)):
        return ""
    base, *marks = list(unicodedata.normalize("NFD", character.translate(_STROKES)))
    return (
        base + "".join(each for each in marks if not unicodedata.combining(each)) if _loses_marks(base) else character
    )


def _loses_marks(letter: str) -> bool:
    return bool(letter) and unicodedata.name(letter[0], "").startswith(_BASES)


def _upper(text: str, language: str) -> str:
    if _base(language) in _DOTTED:
        text = text.replace("i", "İ")
    if _NO_CAPITALS.search(text):
        raised = "".join(each if _NO_CAPITALS.match(each) else each.upper() for each in text)
    else:
        raised = text.upper()
    if _base(language) == "el":
        raised = unicodedata.normalize("NFD", raised).replace(_ACUTE, "")
    return unicodedata.normalize("NFC", raised)


def _base(language: str) -> str:
    return language.partition("-")[0].lower()
