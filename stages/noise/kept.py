"""What noise leaves alone: placeholders, tags, links, and what else a program reads."""

import re
from bisect import bisect_right
from collections.abc import Sequence

from stages.text.placeholders import parse, spans
from stages.text.units import UNSPACED

_CODE = re.compile(r"`[^`]*`")
_SOLID = re.compile(rf"(?:(?!{UNSPACED})\S)++")
# Of words: addresses, names of variables, escapes such as \n; files, domains, abbreviations; options, paths, :id.
_READ = re.compile(r"[@_\\$#]|::|[A-Za-z0-9]\.[A-Za-z0-9]|^[:/-]{1,2}[A-Za-z]|/[^/]*/")
# A sentence's own, at the end of such a word.
_AFTER = ".,;:!?)\"'”’»"


def kept_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each stretch that stays, in order, none in another."""
    words = [(word.start(), word.start() + len(word[0].rstrip(_AFTER))) for word in _read(text)]
    found = sorted([*spans(text), *words, *(match.span() for match in _CODE.finditer(text))])
    merged: list[tuple[int, int]] = []
    for start, end in found:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def is_free(kept: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Whether nothing of a stretch is in one that stays."""
    place = bisect_right(kept, (start, end))
    before, after = kept[place - 1 : place] if place else (), kept[place : place + 1]
    return all(finish <= start for _, finish in before) and all(begin >= end for begin, _ in after)


def same_placeholders(text: str, other: str) -> bool:
    """Whether both have the same ones in the same order."""
    return parse(text).placeholders == parse(other).placeholders


def _read(text: str) -> list[re.Match[str]]:
    """Words that a program reads."""
    return [word for word in _SOLID.finditer(text) if _READ.search(word[0])]
