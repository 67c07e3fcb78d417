"""Numbers, times and dates of two texts, compared as what they are: 1,250.5 is 1.250,5, and 12:30 pm is 12.30 Uhr."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stages.text.units import UNSPACED

# What a number may mean: a value; ("time", hour, minute, second); ("version", "1.2.3").
Reading = Fraction | tuple[str | int, ...]

_TOKEN = re.compile(
    # 2024-01-31, 31.01.2024, 1/31/2024, 31. 1. 2024, 2024年1月31日
    r"(?P<date>(?<!\d)(?:\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/]|\. ?)\d{1,2}\3\d{4}"
    r"|\d{4} ?[年년] ?\d{1,2} ?[月월] ?\d{1,2}(?= ?[日일]))(?!\d))"
    r"|(?P<clock>(?<![\d:])\d{1,2}:\d{2}(?::\d{2})?(?![\d:]))"
    # 1½, which is 1 1⁄2 by now.
    r"|(?P<fraction>(?:\d+ )?\d+⁄\d+)"
    # 1 000 000,5
    r"|(?P<spaced>(?<![\d.,])\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?!\d))"
    r"|(?P<plain>\d+(?:[.,'’٫٬]\d+)*)"
)
_AFTER = re.compile(
    r"\s?(?:(?P<am>[aA]\. ?[mM]\b|am\b|AM\b|π\. ?μ|ص\b|صباح)|(?P<pm>[pP]\. ?[mM]\b|pm\b|PM\b|μ\. ?μ|م\b|مساء))"
)
_BEFORE = re.compile(
    r"(?:(?P<am>上午|凌晨|早上|午前|오전|पूर्वाह्न|AM|am)|(?P<pm>下午|晚上|傍晚|午後|午后|오후|अपराह्न|PM|pm))\s?$"
)
# A hyphen behind a letter or digit is none, but where words stand together without spaces; neither is that of a range.
_MINUS = re.compile(rf"(?:(?<![\w)\]%])|(?<={UNSPACED}))(?<!\d )[-−–‐]$")
_MINUS_WORD = re.compile(
    r"(?:\b(?:minus|moins|menos|meno|mínus|miinus|минус|мінус|eksi|מינוס|سالب|ناقص|μείον|πλην|lúide|माइनस|ऋण)|ลบ|マイナス|"
    r"零下|负|負|영하|마이너스)\s?$",
    re.IGNORECASE,
)
_HAN_DIGITS = {sign: value for value, sign in enumerate("〇一二三四五六七八九十")} | {"两": 2, "兩": 2}
# Human translations into English from languages whose numbers are digits have them in one row of sixty.
_ENGLISH_WORDS = """one once first single
two twice second double dual
three third triple
four fourth quadruple
five fifth quintuple
six sixth
seven seventh
eight eighth
nine ninth
ten tenth decimal"""
_ENGLISH = {word: value for value, line in enumerate(_ENGLISH_WORDS.splitlines(), 1) for word in line.split()} | {
    "hex": 16,
    "hexadecimal": 16,
}
_WORD = re.compile(r"[a-z]+")
# Marks that say in which direction a text runs.
_MARKS = dict.fromkeys([0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_CONTEXT, _MOST_DIGITS, _GROUP, _INDIAN_GROUP = 12, 30, 3, 2


@dataclass(frozen=True)
class Number:
    """All that it may mean, and what a time or date consists of."""

    readings: frozenset[Reading]
    parts: "tuple[Number, ...]" = ()


def count_lost(source: str, target: str) -> int:
    """How many numbers of the source the target lacks, each counted as often as it occurs.

    Numbers are the same where they may mean the same: 1,250 is a thousand or one and a quarter; 12.50 is twelve and a
    half or ten to one, and never 1250. Digits may be of any script, raised or lowered. A time or date may stand there
    in parts, as in 12時30分 or 31 January 2024; one to ten may be signs of Han or English words, 16 hexadecimal.
    """
    if not any(sign.isnumeric() for sign in source):
        return 0
    source, target = _plain(source), _plain(target)
    # 5 100 is one number, or two.
    ways = (
        (True, False)
        if " " in "".join(match["spaced"] or "" for match in _TOKEN.finditer(source + "\n" + target))
        else (True,)
    )
    return min(_lost(source, target, spaced) for spaced in ways)


def _lost(source: str, target: str, spaced: bool) -> int:
    wanted, found = list(_numbers(source, spaced)), list(_numbers(target, spaced))
    wanted, found = _unpaired(wanted, found, lambda one, other: one.readings == other.readings)
    wanted, found = _unpaired(wanted, found, _may_be_same)
    if not wanted:
        return 0
    pool = [part for one in found for part in (one.parts or (one,))]
    left = []
    for one in wanted:
        missing, rest = _unpaired(one.parts, pool, _may_be_same)
        if one.parts and (not missing or _is_month(one, missing)):
            pool = rest
        else:
            left.append(one)
    left, pool = _unpaired(left, pool, _may_be_same)
    if not left:
        return 0
    return len(_unpaired(left, list(_spelled(target)), _may_be_same)[0])


def _spelled(text: str) -> Iterator[Number]:
    """One to ten, where they are signs of Han or English words."""
    values = [_HAN_DIGITS[sign] for sign in text if sign in _HAN_DIGITS]
    values += [_ENGLISH[word] for word in _WORD.findall(text.lower()) if word in _ENGLISH]
    return (Number(frozenset([Fraction(value)])) for value in values)


def _is_month(date: Number, missing: Sequence[Number]) -> bool:
    """Whether nothing is missing of a date but what may be its month, which may be spelled."""
    is_date = any(isinstance(each, tuple) and each[0] == "date" for each in date.readings)
    return (
        is_date and len(missing) == 1 and all(each <= 12 for each in missing[0].readings if isinstance(each, Fraction))
    )


def _may_be_same(one: Number, other: Number) -> bool:
    return not one.readings.isdisjoint(other.readings)


def _unpaired(
    wanted: Sequence[Number], found: Sequence[Number], same: Callable[[Number, Number], bool]
) -> tuple[list[Number], list[Number]]:
    """What is left of both when what is the same has gone, one for one."""
    left, rest = [], list(found)
    for one in wanted:
        place = next((place for place, other in enumerate(rest) if same(one, other)), None)
        if place is None:
            left.append(one)
        else:
            del rest[place]
    return left, rest


def _plain(text: str) -> str:
    """Digits of all scripts as 0 to 9, spaces that do not break as spaces, without marks of direction."""
    text = "".join(
        f" {sign}" if unicodedata.category(sign) == "No" and "⁄" in unicodedata.normalize("NFKC", sign) else sign
        for sign in text
    )
    text = unicodedata.normalize("NFKC", text).translate(_MARKS)
    return text if text.isascii() else "".join(str(int(sign)) if sign.isdecimal() else sign for sign in text)


def _numbers(text: str, spaced: bool) -> Iterator[Number]:
    for match in _TOKEN.finditer(text):
        before, after = (
            text[max(match.start() - _CONTEXT, 0) : match.start()],
            text[match.end() : match.end() + _CONTEXT],
        )
        if match["date"]:
            yield _date(match[0])
        elif match["clock"]:
            yield _time([int(part) for part in match[0].split(":")], *_halves(before, after))
        elif match["fraction"]:
            whole, _, broken = match[0].rpartition(" ")
            upper, lower = (int(part[:_MOST_DIGITS]) for part in broken.split("⁄"))
            value = Fraction(int(whole or 0)) + Fraction(upper, lower or 1)
            yield Number(frozenset([value]), tuple(_whole(part, False, False) for part in (upper, lower)))
        elif match["spaced"] and not spaced:
            yield from (_signed(number, before) for part in match[0].split() for number in _of(part, before, after))
        else:
            yield from (_signed(number, before) for number in _of(match[0].replace(" ", ""), before, after))


def _of(token: str, before: str, after: str) -> Iterator[Number]:
    """A token of digits and separators: one number, or those of a list."""
    token = re.sub("['’٬]", "", token)
    signs = [sign for sign in token if not sign.isdecimal()]
    groups = re.split("[.,٫]", token)
    if len(token) > _MOST_DIGITS:
        yield Number(frozenset([("version", token)]))
    elif not signs:
        yield _whole(int(token), *_halves(before, after))
    elif len(signs) > 1 and set(signs) == {","} and not _is_grouped(groups):
        yield from (_whole(int(group), False, False) for group in groups)
    else:
        readings = frozenset(_readings(signs, groups))
        if not _looks_like_time(signs, groups):
            yield Number(readings)
            return
        time = _time([int(group) for group in groups], *_halves(before, after))
        yield Number(readings | time.readings, time.parts)


def _readings(signs: Sequence[str], groups: Sequence[str]) -> Iterator[Reading]:
    if len(signs) == 1:
        if signs[0] != "٫" and _is_grouped(groups):
            yield Fraction("".join(groups))
        yield Fraction(f"{groups[0]}.{groups[1]}")
    elif len(set(signs)) == 1:
        if _is_grouped(groups):
            yield Fraction("".join(groups))
        yield ("version", ".".join(groups))
    elif signs.count(signs[-1]) == 1 and _is_grouped(groups[:-1]):
        yield Fraction(f"{''.join(groups[:-1])}.{groups[-1]}")
    else:
        yield ("version", ".".join(groups))


def _is_grouped(groups: Sequence[str]) -> bool:
    """Whether separators between these may be those of thousands, or of lakhs."""
    first, *inner, last = groups
    sizes = {len(group) for group in inner}
    return (
        first[0] != "0"
        and len(first) <= _GROUP
        and len(last) == _GROUP
        and (sizes <= {_GROUP} or (sizes <= {_INDIAN_GROUP} and len(first) <= _INDIAN_GROUP))
    )


def _looks_like_time(signs: Sequence[str], groups: Sequence[str]) -> bool:
    """12.30, 12.30.15"""
    sizes = [len(group) for group in groups]
    dots = set(signs) == {"."} and len(groups) <= 3
    return dots and sizes[0] <= 2 and set(sizes[1:]) == {2} and _is_time(*map(int, groups))


def _whole(value: int, morning: bool, evening: bool) -> Number:
    return Number(frozenset(Fraction(hour) for hour in _hours(value, morning, evening)))


def _hours(hour: int, morning: bool, evening: bool) -> set[int]:
    """What an hour may be called."""
    if hour > 12:
        return {hour}
    return {hour, *([hour % 12] if morning else []), *([hour % 12 + 12] if evening else [])}


def _is_time(hour: int, minute: int, second: int = 0) -> bool:
    return hour <= 24 and minute < 60 and second < 60


def _time(parts: Sequence[int], morning: bool, evening: bool) -> Number:
    hour, minute, *seconds = parts
    hours = _hours(hour, morning, evening)
    rest = tuple(Number(frozenset([Fraction(part)])) for part in (minute, *seconds))
    if not _is_time(*parts):
        return Number(frozenset([("version", ":".join(map(str, parts)))]), (_whole(hour, False, False), *rest))
    readings: set[Reading] = {("time", each % 24, minute, *(seconds or [0])) for each in hours}
    if not minute and not any(seconds):
        readings |= {Fraction(each) for each in hours}
    return Number(frozenset(readings), (Number(frozenset(map(Fraction, hours))), *rest))


def _date(text: str) -> Number:
    values = sorted(int(part) for part in re.findall(r"\d+", text))
    return Number(frozenset([("date", *values)]), tuple(Number(frozenset([Fraction(value)])) for value in values))


def _halves(before: str, after: str) -> tuple[bool, bool]:
    """Whether what stands around an hour says that it is before noon, and after noon."""
    found = [match for match in (_BEFORE.search(before), _AFTER.match(after)) if match]
    return any(match["am"] for match in found), any(match["pm"] for match in found)


def _signed(number: Number, before: str) -> Number:
    if _MINUS.search(before):
        return Number(
            frozenset(-each if isinstance(each, Fraction) else each for each in number.readings), number.parts
        )
    if _MINUS_WORD.search(before):
        return Number(number.readings | {-each for each in number.readings if isinstance(each, Fraction)}, number.parts)
    return number
