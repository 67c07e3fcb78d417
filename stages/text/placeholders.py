"""Placeholders of all the ways that programs' texts have: what stands for something that is filled in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# {name}, ${name}, %{name}, {{ name }}; printf's %s, %(name)s, %1$d, %@; %name%; tags, <0> too; entities; where
# a Markdown link leads to; addresses; OpenNMT's protected sequences.
_SIMPLE = re.compile(
    r"[$%#]?\{\{[^{}]*\}\}"
    r"|[$%#]?\{\s*[^\s{}]*\s*\}"
    r"|[｟⦅][^｟｠⦅⦆]*[｠⦆]"
    r"|%(?:\d+\$)?(?:\(\w+\))?[-+0#]*\d*(?:\.\d+)?(?:hh?|ll?|[Lqjzt])?[sdiufgxXcr@](?![^\W\d_])"
    r"|(?<![\w%])%[A-Za-z_]\w*%"
    r"|</?[A-Za-z][^<>]*>"
    r"|</?\d+\s*/?>"
    r"|&(?:[A-Za-z]+|#\d+);"
    r"|(?P<link>[\]】］] ?[(（]\s?[^\s()（）]*(?: #[^\s()（）]*)?\s?[)）])"
    r"|https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]"
)
# Its branches are text.
_ICU_HEAD = re.compile(r"\{\s*(\w+)\s*,\s*(plural|selectordinal|select)\s*,(?:\s*offset:\d+)?")
# Without branches: {when, date, short}
_ICU_FORMAT = re.compile(r"\{\s*(\w+)\s*,\s*(number|date|time|spellout|ordinal|duration)\s*(?:,[^{}]*)?\}")
_BRANCH = re.compile(r"\s*(?:=\d+|[\w-]+)\s*\{")
_REST, _BRACE = re.compile(r"\s*\}"), re.compile(r"[{}]")
# Of heads in branches; what lies deeper is made up.
_DEEPEST = 10


@dataclass(frozen=True)
class Parsed:
    """Placeholders of a text as they are compared, each as often as it occurs, and the text without them."""

    placeholders: tuple[str, ...]
    text: str


@dataclass
class _Found:
    placeholders: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def parse(text: str) -> Parsed:
    """Takes a text apart.

    Of ICU's plural and select the head is a placeholder and the branches are text. As languages differ in how many
    branches they have, what stands in several branches of one head counts once.
    """
    found = _Found()
    _take(text, found)
    return Parsed(tuple(found.placeholders), "".join(found.texts))


def spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each placeholder, in order; all of ICU's plural and select is one, with its branches."""
    found: list[tuple[int, int]] = []
    place, after = 0, 0
    closings = _closings(text) if _ICU_HEAD.search(text) else {}
    while closings and (head := _ICU_HEAD.search(text, after)):
        end, branches = _branches(text, head.end(), closings)
        after = end if branches else head.end()
        if branches:
            found += [(place + start, place + stop) for start, stop, _ in _simple(text[place : head.start()])]
            found.append((head.start(), end))
            place = end
    return found + [(place + start, place + stop) for start, stop, _ in _simple(text[place:])]


def _take(text: str, found: _Found, depth: int = 0) -> None:
    place = 0
    closings = _closings(text) if depth < _DEEPEST and _ICU_HEAD.search(text) else {}
    while closings and (head := _ICU_HEAD.search(text, place)):
        end, branches = _branches(text, head.end(), closings)
        if not branches:
            _take_simple(text[place : head.end()], found)
            place = head.end()
            continue
        _take_simple(text[place : head.start()], found)
        found.placeholders.append(f"{{{head[1]},{head[2]}")
        inner = _Found()
        for branch in branches:
            inner.texts.append(" ")
            _take(branch, inner, depth + 1)
        found.placeholders += dict.fromkeys(inner.placeholders)
        found.texts += [*inner.texts, " "]
        place = end
    _take_simple(text[place:], found)


def _take_simple(text: str, found: _Found) -> None:
    place = 0
    for start, end, key in _simple(text):
        found.placeholders.append(key)
        found.texts += [text[place:start], " "]
        place = end
    found.texts.append(text[place:])


def _simple(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and what is compared, in order."""
    formats = [(one.start(), one.end(), f"{{{one[1]},{one[2]}}}") for one in _ICU_FORMAT.finditer(text)]
    place = 0
    for start, end, key in [*formats, (len(text), len(text), "")]:
        for one in _SIMPLE.finditer(text, place, start):
            yield one.start(), one.end(), _key(one)
        if key:
            yield start, end, key
        place = end


def _key(match: re.Match[str]) -> str:
    """What is compared: space inside of braces, tags and links makes no difference, nor do a link's brackets."""
    found = match[0]
    if match["link"] is not None:
        return f"]({''.join(found.lstrip(']】］ ').strip('()（） ').split())}"
    if found[0] == "<":
        return " ".join(found.replace("/>", " />").split())
    return "".join(found.split()) if "{" in found else found


def _branches(text: str, place: int, closings: Mapping[int, int]) -> tuple[int, list[str]]:
    """The texts of all branches that begin here, and where the last one's brace and the head's end; else none."""
    branches = []
    while branch := _BRANCH.match(text, place):
        end = closings.get(branch.end() - 1)
        if end is None:
            return place, []
        branches.append(text[branch.end() : end])
        place = end + 1
    rest = _REST.match(text, place)
    return (rest.end(), branches) if rest and branches else (place, [])


def _closings(text: str) -> dict[int, int]:
    """Where each brace is closed."""
    found, opened = {}, list[int]()
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            found[opened.pop()] = brace.start()
    return found
