"""What can be told of a translation by looking at two texts: one pure function a measure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

# Fewer words are names and labels, which are often copied rightly.
FEWEST_WORDS_FOR_COPY = 4
LONGEST_REPEATED_NGRAM = 4
FEWEST_REPEATS = 3

# {name}, ${name}, {{ name }} and the head of {count, plural, ...}, whose branches are text; printf's %s, %(name)s,
# %1$d, %@; tags; entities; where a Markdown link leads to; addresses.
PLACEHOLDER = re.compile(
    r"\$?\{\{[^{}]*\}\}"
    r"|\$?\{\s*[^\s{}]*\s*\}"
    r"|\{\s*\w+\s*,\s*(?:plural|selectordinal|select|number|date|time)\b"
    r"|%(?:\d+\$)?(?:\(\w+\))?[-+0#]*\d*(?:\.\d+)?(?:hh?|ll?|[Lqjzt])?[sdiufgxXcr@](?![^\W\d_])"
    r"|</?[A-Za-z][^<>]*>"
    r"|&(?:[A-Za-z]+|#\d+);"
    r"|\]\([^\s()]*\)"
    r"|https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]"
)
# 1,000 and 1.000 and 1'000, and 1 000 in groups of three.
NUMBER = re.compile(r"(?<!\d)\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,'’]\d+)*")


def length_ratio(source: str, target: str) -> float:
    """Characters of the target over those of the source, space around them aside; 0 for an empty target."""
    return len(target.strip()) / max(len(source.strip()), 1)


def source_copy(source: str, target: str) -> float | None:
    """Longest common subsequence of words over the source's words, 0..1, case and placeholders aside.

    None where the source has fewer than four words.
    """
    from rapidfuzz.distance import LCSseq

    words = without_placeholders(source).casefold().split()
    if len(words) < FEWEST_WORDS_FOR_COPY:
        return None
    return LCSseq.similarity(words, without_placeholders(target).casefold().split()) / len(words)


def repetition(target: str) -> float:
    """Share of the words that stand in the longest run of one n-gram (n <= 4) three or more times in a row, 0..1."""
    words = target.split()
    longest = max((_longest_run(words, size) for size in range(1, LONGEST_REPEATED_NGRAM + 1)), default=0)
    return longest / max(len(words), 1)


def placeholders_lost(source: str, target: str) -> int:
    """How many placeholders of the source the target lacks, each counted as often as it occurs."""
    return _lost(PLACEHOLDER.findall(source), PLACEHOLDER.findall(target))


def numbers_lost(source: str, target: str) -> int:
    """Likewise numbers outside placeholders; 1,000 and 1.000 are the same, and so are digits of all scripts, raised
    or lowered ones too.
    """
    return _lost(_numbers(source), _numbers(target))


def without_placeholders(text: str) -> str:
    """The text with a space where a placeholder was."""
    return PLACEHOLDER.sub(" ", text)


def _longest_run(words: Sequence[str], size: int) -> int:
    """Words in the longest stretch that is one n-gram of `size` words, at least three times."""
    longest = same = 0
    for word, earlier in zip(words[size:], words, strict=False):
        same = same + 1 if word == earlier else 0
        if same >= size * (FEWEST_REPEATS - 1):
            longest = max(longest, same + size)
    return longest


def _numbers(text: str) -> list[str]:
    # NFKC makes the plain digits and spaces of superscripts, subscripts and spaces that do not break.
    found = NUMBER.findall(unicodedata.normalize("NFKC", without_placeholders(text)))
    return ["".join(str(unicodedata.digit(sign)) for sign in number if sign.isdigit()) for number in found]


def _lost(wanted: Sequence[str], found: Sequence[str]) -> int:
    return (Counter(wanted) - Counter(found)).total()
