"""Typos: a letter swapped with the next, left out, doubled, or taken for its neighbour on the keyboard."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from stages.noise.kept import is_free, kept_spans
from stages.text.units import has_no_spaces

# Of a text's words that may have one; at least one of them has.
_SHARE_OF_WORDS = 0.1
# A shorter word becomes another one too easily.
_WORD = re.compile(r"[^\W\d_]{4,}")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]")
_LATIN = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYBOARDS = {
    "": _LATIN,
    **dict.fromkeys(("de", "cs", "sk", "sl", "hr", "bs", "hu", "sq"), ("qwertzuiop", "asdfghjkl", "yxcvbnm")),
    "fr": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
# Of other scripts: their letters are on no Latin key.
_OTHERS = (
    ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"),
    ("ςερτυθιοπ", "ασδφγηξκλ", "ζχψωβνμ"),
    ("קראטוןםפ", "שדגכעיחלךף", "זסבהנמצתץ"),
    ("ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرىةوزظ"),
)
Random = Callable[[], float]


def with_typos(text: str, language: str, random: Random) -> str:
    """The text with a typo in one word of ten, at least in one; the same where no word can have one.

    `random`: numbers in [0, 1). First letters stay, and words that are short, in capitals, have digits or marks, or
    are of a script without letters, or without spaces.
    """
    kept = kept_spans(text)
    words = [word for word in _WORD.finditer(text) if _may_have_one(text, word, kept)]
    if not words:
        return text
    count = max(1, round(len(words) * _SHARE_OF_WORDS))
    drawn = sorted(range(len(words)), key=[random() for _ in words].__getitem__)[:count]
    parts, place = [], 0
    for word in (words[number] for number in sorted(drawn)):
        parts += [text[place : word.start()], _mistyped(word[0], language, random)]
        place = word.end()
    return "".join([*parts, text[place:]])


def _may_have_one(text: str, word: re.Match[str], kept: list[tuple[int, int]]) -> bool:
    start, end = word.span()
    around = text[start - 1 : start] + text[end : end + 1] if start else text[end : end + 1]
    whole = not any(each.isalnum() or unicodedata.category(each)[0] == "M" or each == "'" for each in around)
    letters = word[0]
    no_letters = _HANGUL.search(letters) or any(map(has_no_spaces, letters)) or letters.isupper()
    return whole and not no_letters and is_free(kept, start, end)


def _mistyped(word: str, language: str, random: Random) -> str:
    """Another word, by the first of the ways, from a drawn one on, that there is at a drawn letter but the first."""
    place = 1 + int(random() * (len(word) - 1))
    first, choice = int(random() * len(_WAYS)), random()
    for number in range(len(_WAYS)):
        found = _WAYS[(first + number) % len(_WAYS)](word, place, language, choice)
        if found != word:
            return found
    return word


def _swapped(word: str, place: int, language: str, choice: float) -> str:
    place = min(place, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _left_out(word: str, place: int, language: str, choice: float) -> str:
    return word[:place] + word[place + 1 :]


def _doubled(word: str, place: int, language: str, choice: float) -> str:
    return word[:place] + word[place] + word[place:]


def _beside(word: str, place: int, language: str, choice: float) -> str:
    near = _neighbours(language.partition("-")[0]).get(word[place].lower(), "")
    if not near:
        return word
    letter = near[int(choice * len(near))]
    return word[:place] + (letter.upper() if word[place].isupper() else letter) + word[place + 1 :]


_WAYS = (_swapped, _left_out, _doubled, _beside)


@cache
def _neighbours(language: str) -> dict[str, str]:
    """Of each letter the keys beside it, above it and below it."""
    found: dict[str, str] = {}
    for rows in (_KEYBOARDS.get(language, _LATIN), *_OTHERS):
        for number, row in enumerate(rows):
            above = rows[number - 1] if number else ""
            below = rows[number + 1] if number + 1 < len(rows) else ""
            for place, letter in enumerate(row):
                # A row is moved to the right by half a key against the one above.
                near = row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
                found[letter] = near + above[place : place + 2] + below[max(place - 1, 0) : place + 1]
    return found
