"""Identity of a row, and the hash that decides which split it belongs to.

Changing anything here changes every id and every split: the demo's teacher would then have
seen test rows. Do not, unless you rebuild all that depends on it.
"""

import hashlib
import html
import re
import unicodedata
from functools import cache

from data.language_tags import written_language

ID_BYTES = 16
# ZERO WIDTH NON-JOINER and JOINER: letters of Persian and Hindi words, and nothing elsewhere.
_JOINERS = "\u200c\u200d"
_LETTERS = ("L", "M")
# Of punctuation and signs, those that are a word's own: C#, AT&T, 5%. Quotes written as accents are no such signs.
_MEANT = frozenset("#%&@/\\")
# Between digits, and the minus before one: what makes 1.5 another number than 15.
# Of the other planes, what does not show.
_TAGS = re.compile("[\U000e0000-\U000e0fff]+")
_DIGIT = re.compile(r"\d")
_IN_NUMBERS = re.compile(r"(?<=\d)[^\w\s](?=\d)|(?<![^\W_])[-\u2010-\u2014\u2212](?=\d)")
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
# Private code points, where these wait while all other punctuation goes.
_WAITING = 0xF0000


def normalise(text: str) -> str:
    """Text as the corpus keeps it: Unicode NFC, runs of whitespace folded to one space, ends trimmed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(source: str) -> str:
    """The key under which two sources count as the same for held-out sets: case and whitespace aside."""
    return " ".join(unicodedata.normalize("NFKC", source).casefold().split())


def near(text: str) -> str:
    """A looser key than `fold`: how a text is known again when it was quoted, tokenised, escaped or lost its full stop.

    Letters, digits and signs alone, without spaces, punctuation and what does not show; what is in a number stays.
    A text of nothing else is its own key.
    """
    kept = html.unescape(html.unescape(text)) if "&" in text else text
    if kept.isascii():
        kept = kept.lower()
    else:
        kept = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())
        kept = _TAGS.sub("", kept)
        if any(joiner in kept for joiner in _JOINERS):
            kept = _without_idle_joiners(kept)
    if _DIGIT.search(kept):
        kept = _IN_NUMBERS.sub(_waiting, kept)
    return _silent().sub("", kept) or fold(text)


def row_id(source_language: str, target_language: str, source: str, again: int = 0) -> str:
    """Stable id of a row: 32 hexadecimal digits of BLAKE2b over languages and normalised source.

    `again`: in a set that is kept whole, how often the same has come before.
    """
    return _hash("\x1f".join((source_language, target_language, source, *([str(again)] if again else [])))).hex()


def split_point(source: str) -> float:
    """A point in [0, 1) that depends on the folded source alone.

    A row is held out when its point lies below the held-out fraction. So a row never changes
    sides when the corpus grows, and no training row can share its folded source with a held-out one.
    """
    return int.from_bytes(_hash(fold(source))[:8], "big") / 2.0**64


def text_digest(language: str, text: str) -> int:
    """64 bits by which two texts of a language are known to be nearly the same, as `near` has it.

    Regional tags of one language are one: de-DE and de, but not zh-Hans and zh-Hant.
    """
    return int.from_bytes(_hash(f"{written_language(language)}\x1f{near(text)}")[:8], "big")


def _waiting(found: re.Match[str]) -> str:
    return chr(_WAITING + ord("-" if found[0] in _DASHES else found[0]))


@cache
def _silent() -> re.Pattern[str]:
    """Runs of punctuation, spaces and what does not show, of the basic plane: others would make every search slow."""
    basic = "".join(chr(point) for point in range(0x10000) if _goes(chr(point)))
    return re.compile(f"[{re.escape(basic)}]+")


def _goes(character: str) -> bool:
    kind = unicodedata.category(character)
    unseen = kind == "Sk" or "\ufe00" <= character <= "\ufe0f"
    return ((kind[0] in "PZC" and kind != "Cs") or unseen) and character not in _MEANT and character not in _JOINERS


def _without_idle_joiners(text: str) -> str:
    """Joiners go that do not stand between two letters, vowel signs counted."""

    def stays(place: int) -> bool:
        around = text[place - 1 : place] + text[place + 1 : place + 2]
        return len(around) == 2 and all(unicodedata.category(each)[0] in _LETTERS for each in around)

    return "".join(each for place, each in enumerate(text) if each not in _JOINERS or stays(place))


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=ID_BYTES).digest()
