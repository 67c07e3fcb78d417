"""Identity of a row, and the hash that decides which split it belongs to.

Changing anything here changes every id and every split: the demo's teacher would then have
seen test rows. Do not, unless you rebuild all that depends on it.
"""

import hashlib
import unicodedata

ID_BYTES = 16


def normalise(text: str) -> str:
    """Text as the corpus keeps it: Unicode NFC, runs of whitespace folded to one space, ends trimmed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(source: str) -> str:
    """The key under which two sources count as the same for held-out sets: case and whitespace aside."""
    return " ".join(unicodedata.normalize("NFKC", source).casefold().split())


def row_id(source_language: str, target_language: str, source: str) -> str:
    """Stable id of a row: 32 hexadecimal digits of BLAKE2b over languages and normalised source."""
    return _hash("\x1f".join((source_language, target_language, source))).hex()


def split_point(source: str) -> float:
    """A point in [0, 1) that depends on the folded source alone.

    A row is held out when its point lies below the held-out fraction. So a row never changes
    sides when the corpus grows, and no training row can share its folded source with a held-out one.
    """
    return int.from_bytes(_hash(fold(source))[:8], "big") / 2.0**64


def text_digest(language: str, text: str) -> int:
    """64 bits by which two texts of a language are known to be the same, as `fold` has it."""
    return int.from_bytes(_hash(f"{language}\x1f{fold(text)}")[:8], "big")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=ID_BYTES).digest()
