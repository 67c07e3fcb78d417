"""Which words of a hypothesis are not in its reference: what the page marks."""

import itertools
import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

# Written without spaces: compared character by character.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


class Segment(NamedTuple):
    """A stretch of text, and whether it differs from the reference."""

    text: str
    differs: bool


def mark_differences(hypothesis: str, reference: str) -> list[Segment]:
    """The hypothesis in stretches that are, in order, in the reference or not; joined they give it back unchanged."""
    words = _split(hypothesis)
    spoken = [position for position, word in enumerate(words) if not word.isspace()]
    expected = [word for word in _split(reference) if not word.isspace()]
    matcher = SequenceMatcher(None, [words[position] for position in spoken], expected, autojunk=False)
    common = {spoken[start + offset] for start, _, length in matcher.get_matching_blocks() for offset in range(length)}
    differs = [not word.isspace() and position not in common for position, word in enumerate(words)]
    _bridge_spaces(words, differs)
    return [
        Segment("".join(word for _, word in group), key)
        for key, group in itertools.groupby(zip(differs, words, strict=True), key=lambda pair: pair[0])
    ]


def _bridge_spaces(words: list[str], differs: list[bool]) -> None:
    """A space between two marked words is marked too, so that they read as one stretch."""
    for position in range(1, len(words) - 1):
        if words[position].isspace():
            differs[position] = differs[position - 1] and differs[position + 1]


def _split(text: str) -> list[str]:
    return list(_words(text))


def _words(text: str) -> Iterator[str]:
    for kind, characters in itertools.groupby(text, key=_kind):
        if kind == "one":
            yield from characters
        else:
            yield "".join(characters)


def _kind(character: str) -> str:
    """`space` and `word` go in runs; `one` is a word of its own."""
    if character.isspace():
        return "space"
    if unicodedata.category(character)[0] in "PS" or unicodedata.name(character, "").startswith(_UNSPACED):
        return "one"
    return "word"
