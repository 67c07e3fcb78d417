"""What can be told of a translation by looking at two texts: one pure function a measure."""

from collections import Counter
from functools import lru_cache

from stages.text import numbers
from stages.text.placeholders import Parsed, parse
from stages.text.remarks import line_breaks, remarks
from stages.text.units import has_no_spaces, looped_share, units, worth

# Fewer words are names and labels, which are often copied rightly.
FEWEST_WORDS_FOR_COPY = 4
# How SentencePiece writes what it does not know.
UNKNOWN_MARK = "\N{DOUBLE QUESTION MARK}"

__all__ = [
    "has_marks",
    "length_ratio",
    "line_breaks",
    "numbers_lost",
    "placeholders_lost",
    "remarks",
    "repetition",
    "source_copy",
    "unknown_marks",
    "without_placeholders",
]


def length_ratio(source: str, target: str) -> float:
    """Length of the target over that of the source, in letters of an alphabet (see `worth`); 0 for an empty target."""
    return worth(target) / max(worth(source), 1)


def source_copy(source: str, target: str) -> float | None:
    """Longest common subsequence of words over the source's words, 0..1; case, placeholders and numbers aside.

    In scripts without spaces between words each letter counts as a word. None where the source has fewer than four.
    """
    from rapidfuzz.distance import LCSseq

    words = _words(source)
    if len(words) < FEWEST_WORDS_FOR_COPY:
        return None
    return LCSseq.similarity(words, _words(target)) / len(words)


def repetition(target: str) -> float:
    """Share of the words that stand in the longest run of one sequence of words three or more times in a row, 0..1.

    In scripts without spaces, and in a word that is a loop in itself, letters are what repeats.
    """
    return looped_share(target)


def placeholders_lost(source: str, target: str) -> int:
    """How many placeholders of the source the target lacks, each counted as often as it occurs."""
    wanted = _parsed(source).placeholders
    return (Counter(wanted) - Counter(_parsed(target).placeholders)).total() if wanted else 0


def numbers_lost(source: str, target: str) -> int:
    """Likewise numbers outside placeholders, as numbers, times and dates; see stages/text/numbers.py."""
    return numbers.count_lost(without_placeholders(source), without_placeholders(target))


def has_marks(text: str) -> bool:
    """Whether it has numbers or placeholders, which a translation keeps."""
    return bool(_parsed(text).placeholders) or any(sign.isdecimal() for sign in text)


def unknown_marks(source: str, target: str) -> int:
    """How many marks for something unknown the target has that the source has not."""
    return max(target.count(UNKNOWN_MARK) - source.count(UNKNOWN_MARK), 0)


def without_placeholders(text: str) -> str:
    """The text with a space where a placeholder was; branches of a plural are text."""
    return _parsed(text).text


# A row's texts are looked at by several measures, one after the other.
@lru_cache(maxsize=16)
def _parsed(text: str) -> Parsed:
    return parse(text)


def _words(text: str) -> list[str]:
    """Words with a letter, without what stands around them."""
    found = []
    for unit in units(without_placeholders(text).casefold()):
        word = unit if has_no_spaces(unit) else unit.strip("".join(set(filter(_is_no_letter, unit))))
        if any(sign.isalpha() for sign in word):
            found.append(word)
    return found


def _is_no_letter(sign: str) -> bool:
    return not sign.isalnum()
