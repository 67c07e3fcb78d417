"""What a text consists of where its script has spaces between words, and where it has none: words, and letters."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Scripts without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Tai, Balinese, Javanese, kana, Bopomofo,
# Han and Yi. Punctuation and digits among them are none of their letters.
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u3099-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\u3105-\u312f"
_SOUTH_EAST = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u0f00-\u0f03\u0f40-\u0fbc\u1000-\u103f\u1050-\u108f"
    "\u1780-\u17d3\u17d7\u17dc\u1950-\u19c9\u1a00-\u1a7c\u1b00-\u1b4b\ua980-\ua9c0\ua9e0-\ua9ef\uaa60-\uaa7b"
)
UNSPACED = f"[{_HAN}{_KANA}{_SOUTH_EAST}\ua000-\ua48c]"
_UNIT = re.compile(rf"{UNSPACED}|(?:(?!{UNSPACED})\S)+")
_UNSPACED = re.compile(UNSPACED)

# Letters of an alphabet that say as much as one sign: on human translations of interface texts from English, 3.6 for
# Han, 1.5 for kana and 2.4 for Hangul; rather less than more, so that texts in both kinds are not judged by it.
_WORTH = {re.compile(f"[{_HAN}]"): 3.0, re.compile(f"[{_KANA}]"): 1.5, re.compile("[\uac00-\ud7a3\ua000-\ua48c]"): 2.0}

LONGEST_PERIOD = 64
FEWEST_REPEATS = 3
# Inside of one word.
_LETTERS_OF_A_LOOP, _REPEATS_OF_LETTERS = 10, 4


def units(text: str) -> list[str]:
    """Words between spaces, punctuation attached; of scripts that have no spaces each letter alone."""
    return _UNIT.findall(text)


def has_no_spaces(unit: str) -> bool:
    """Whether it is a letter of a script without spaces between words."""
    return _UNSPACED.fullmatch(unit) is not None


def worth(text: str) -> float:
    """The text's length in letters of an alphabet: a sign of Han is worth three, of Hangul two, of kana one and a half.

    Space around it is not counted.
    """
    text = text.strip()
    if text.isascii():
        return float(len(text))
    return len(text) + sum(len(signs.findall(text)) * (times - 1) for signs, times in _WORTH.items())


def looped_share(text: str) -> float:
    """Share of the units that stand in the longest run of one sequence of them, three or more times in a row, 0..1.

    A word that is one sequence of letters said again and again, and no number, counts as so many units. A sequence has
    at most 64 units.
    """
    parts = [part for unit in units(text) for part in _without_loop(unit)]
    run, _, _ = longest_run(parts, FEWEST_REPEATS)
    return run / max(len(parts), 1)


def longest_run(parts: Sequence[str], repeats: int) -> tuple[int, int, int]:
    """Of the longest stretch that is one sequence at least `repeats` times: its length, its start, its period.

    (0, 0, 0) where there is none. The last time need not be whole.
    """
    best = (0, 0, 0)
    if len(parts) < repeats:
        return best
    numbers = _numbered(parts)
    if np.bincount(numbers).max() < repeats:
        return best
    for period in range(1, min(LONGEST_PERIOD, len(parts) // repeats) + 1):
        length, start = _longest_true(numbers[period:] == numbers[:-period])
        if length >= period * (repeats - 1) and length + period > best[0]:
            best = (length + period, start, period)
    return best


def _without_loop(word: str) -> list[str]:
    """A word, taken apart where it is a loop: what stands before it, each time, what stands after."""
    if len(word) < _LETTERS_OF_A_LOOP or word.isdecimal():
        return [word]
    length, start, period = longest_run(word, _REPEATS_OF_LETTERS)
    if length < _LETTERS_OF_A_LOOP:
        return [word]
    whole = start + length - length % period
    times = [word[place : place + period] for place in range(start, whole, period)]
    return [part for part in (word[:start], *times, word[whole:]) if part]


def _numbered(parts: Sequence[str]) -> npt.NDArray[np.int64]:
    known: dict[str, int] = {}
    return np.array([known.setdefault(part, len(known)) for part in parts], dtype=np.int64)


def _longest_true(same: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Length and start of the longest stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(ends[longest] - starts[longest]), int(starts[longest])
