"""Punctuation and spaces that go, or come twice."""

import re
from collections.abc import Callable

from stages.noise.kept import is_free, kept_spans

_ASCII = ".,;:!?"
# Of other scripts: they end something wherever they stand, with or without a space after them.
_OTHERS = "…،؛؟۔՝՞՜։।॥፡።፣፤፥፦፧၊။។།、。，．：；！？｡､"
_DROPPED = re.compile(rf"(?<![{_ASCII}])[{_ASCII}]++(?=$|[\s\"'”’»)\]])|[{_OTHERS}]+|[¿¡]")
_MARKS = _ASCII + _OTHERS
Random = Callable[[], float]
_SPACES = re.compile(r"(?<=\S) (?=\S)")


def without_punctuation(text: str) -> str:
    """Without commas, full stops and the like; those within numbers, names and addresses stay, and so do quotes."""
    kept = kept_spans(text)
    found = _DROPPED.sub(lambda match: "" if is_free(kept, *match.span()) else match[0], text)
    return " ".join(found.split())


def with_doubled_spaces(text: str, random: Random) -> str:
    """With one of five spaces doubled, at least one; none in what stays."""
    kept = kept_spans(text)
    places = [match.start() for match in _SPACES.finditer(text) if is_free(kept, *match.span())]
    if not places:
        return text
    drawn = sorted(range(len(places)), key=[random() for _ in places].__getitem__)
    doubled = {places[number] for number in drawn[: max(1, len(places) // 5)]}
    return "".join(f"{each} " if place in doubled else each for place, each in enumerate(text))


def ends_with_a_mark(text: str) -> bool:
    """Whether punctuation that may be dropped is its last."""
    return text[-1:] in tuple(_MARKS)


def without_final_mark(text: str) -> str:
    """Without the punctuation at its end, and without the inverted mark that begins what a question mark ended."""
    left = text.rstrip(_MARKS)
    marks, left = text[len(left) :], left.rstrip()
    if not marks or not left or not is_free(kept_spans(text), len(text) - len(marks), len(text)):
        return text
    for mark, inverted in (("?", "¿"), ("!", "¡")):
        if mark in marks and inverted in left:
            place = left.rindex(inverted)
            left = left[:place] + left[place + 1 :]
    return left
