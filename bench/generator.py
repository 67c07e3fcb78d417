"""A corpus of any size out of a seed, with duplicates, dirt and overlaps with its test set in amounts known beforehand.

Of every hundred rows, `SHARES` says how many are of which kind. A sentence is a number, written in words: no two
numbers give the same sentence, whatever their case and spaces. Everything is made in numpy, a chunk at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

HUNDRED = 100
# Kind -> rows in a hundred. The first three are kept, all others dropped.
SHARES = {
    "pair": 80,
    "monolingual": 4,  # without a reference
    "recased": 2,  # a pair again, its first word in capitals: another id, the same split
    "duplicate": 5,  # a pair again
    "respaced": 2,  # a pair again, with other whitespace
    "in_test": 2,  # a sentence of the test set
    "in_test_recased": 1,
    "empty": 1,
    "too_long": 1,
    "not_utf8": 1,
    "nul": 1,
}
KINDS = tuple(SHARES)
MAX_CHARACTERS = 200
CHUNK_ROWS = 100_000

_WORDS = 4096
# Three words of 12 bits tell all numbers apart; the others come from a hash of the number.
_FIRST_WORDS, _FEWEST, _MOST = 3, 4, 14
_NUMBER_BITS = 36
_TEST_NUMBERS, _OTHER_NUMBERS = 1 << 34, 1 << 35
# Odd, so that multiplying by it modulo a power of two is one to one. Of Knuth's and of splitmix64's.
_SPREAD, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_SPACE = 0x20

Array = npt.NDArray[np.uint64]
Letters = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """Files of a corpus, and what must become of their rows."""

    source: Path
    target: Path
    test_source: Path
    test_target: Path
    rows: int
    test_rows: int

    def of_kind(self, *kinds: str) -> int:
        """Rows of these kinds together."""
        return sum(SHARES[kind] for kind in kinds) * self.rows // HUNDRED

    def train_rows(self) -> int:
        """Rows that must be left to train on."""
        return self.of_kind("pair", "monolingual", "recased")

    def dropped(self) -> dict[str, int]:
        """Rows that must be dropped, by the corpus's reasons, sorted."""
        return {
            "duplicate": self.of_kind("duplicate", "respaced"),
            "empty_source": self.of_kind("empty"),
            "in_test_set": self.of_kind("in_test", "in_test_recased"),
            "not_utf8": self.of_kind("not_utf8"),
            "nul_byte": self.of_kind("nul"),
            "too_long": self.of_kind("too_long"),
        }


def generate(folder: Path, rows: int, seed: int = 1) -> Made:
    """Writes a corpus of `rows` and a test set of a thousandth of them, at least a hundred; the same seed, the same
    bytes. Raises ValueError when `rows` are not hundreds.
    """
    if rows % HUNDRED:
        raise ValueError(f"{rows} rows; expected hundreds, for the amounts are parts of a hundred")
    folder.mkdir(parents=True, exist_ok=True)
    source, target, test_source, test_target = (
        folder / name for name in ("train.en", "train.de", "test.en", "test.de")
    )
    made = Made(source, target, test_source, test_target, rows, test_rows=max(HUNDRED, rows // 1000))
    writer = _Writer(np.random.default_rng(seed))
    numbers = np.arange(made.test_rows, dtype=np.uint64) + np.uint64(_TEST_NUMBERS)
    pairs = np.zeros(made.test_rows, dtype=np.int64)
    made.test_source.write_bytes(b"".join(writer.sources(numbers, pairs)))
    made.test_target.write_bytes(b"".join(writer.targets(numbers, pairs)))
    with source.open("wb") as sources, target.open("wb") as targets:
        for first in range(0, rows, CHUNK_ROWS):
            _write_chunk(writer, first, min(CHUNK_ROWS, rows - first), made.test_rows, (sources, targets))
    return made


def _write_chunk(writer: "_Writer", first: int, rows: int, test_rows: int, files: tuple[BinaryIO, BinaryIO]) -> None:
    numbers, kinds = _rows(writer.random, first, rows, test_rows)
    order = writer.random.permutation(rows)
    numbers, kinds = numbers[order], kinds[order]
    files[0].writelines(writer.sources(numbers, kinds))
    files[1].writelines(writer.targets(numbers, kinds))


def _rows(random: np.random.Generator, first: int, rows: int, test_rows: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Number of the sentence and index of the kind of each row, [rows]."""
    kinds = np.tile(np.repeat(np.arange(len(KINDS)), list(SHARES.values())), rows // HUNDRED)
    block = (first + np.arange(rows)) // HUNDRED
    place = _places(kinds)
    own = SHARES["pair"] + SHARES["monolingual"]
    numbers = {
        "pair": block * own + place,
        "monolingual": block * own + SHARES["pair"] + place,
        "recased": block * own + place,  # each a pair of its own, so that none of them is another's duplicate
    }
    again = random.integers(0, block + 1) * own + random.integers(0, SHARES["pair"], rows)
    numbers |= dict.fromkeys(("duplicate", "respaced"), again)
    numbers |= dict.fromkeys(("in_test", "in_test_recased"), _TEST_NUMBERS + random.integers(0, test_rows, rows))
    found = np.choose(kinds, [numbers.get(kind, _OTHER_NUMBERS + first + np.arange(rows)) for kind in KINDS])
    return found.astype(np.uint64), kinds


def _places(kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The how-manieth of its kind each row is in its hundred, [rows]."""
    sizes = np.array(list(SHARES.values()))
    starts = np.cumsum(sizes) - sizes
    return np.asarray(np.arange(len(kinds)) % HUNDRED - starts[kinds])


class _Writer:
    """Numbers in words, of two languages."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self._source, self._target = (
            _vocabulary(b"abcdefghiklmnoprstuvw"),
            _vocabulary(b"\xa4\xb6\xbcbdefghiklmnrstuwz"),
        )

    def sources(self, numbers: Array, kinds: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """A line a row, dirty where its kind says so."""
        letters = _spelled(numbers, self._source)
        recased = np.isin(kinds, [KINDS.index("recased"), KINDS.index("in_test_recased")])
        letters[recased, 0] -= (letters[recased, 0] > 0).astype(np.uint8) * np.uint8(_SPACE)
        respaced = letters[kinds == KINDS.index("respaced")]
        letters[kinds == KINDS.index("respaced")] = np.where(respaced == _SPACE, np.uint8(ord("\t")), respaced)
        for line, kind in zip(_lines(letters), kinds.tolist(), strict=True):
            yield _spoilt(line, KINDS[kind]) + b"\n"

    def targets(self, numbers: Array, kinds: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """A line a row, empty where there is no reference."""
        monolingual = KINDS.index("monolingual")
        for line, kind in zip(_lines(_spelled(numbers, self._target)), kinds.tolist(), strict=True):
            yield b"\n" if kind == monolingual else line + b"\n"


def _spoilt(line: bytes, kind: str) -> bytes:
    """What is left of a line."""
    if kind == "empty":
        return b"  "
    dirt = {"too_long": b" " + b"x" * MAX_CHARACTERS, "not_utf8": b"\xff", "nul": b"\0"}
    return line + dirt.get(kind, b"")


def _vocabulary(letters: bytes) -> Letters:
    """Words of two to eight letters as [_WORDS, bytes], a space before and zeros behind; always the same ones.

    The first two letters and a third are the word's number in base 16, so that no two words are equal. What is above
    ASCII is the second byte of a German letter, and gets its first.
    """
    random = np.random.default_rng(len(letters))
    alphabet = np.frombuffer(letters, dtype=np.uint8)
    words = []
    for number in range(_WORDS):
        digits = [number & 15, number >> 4 & 15, number >> 8]
        tail = random.integers(0, len(alphabet), random.integers(0, 5))
        spelled = bytes(alphabet[[*digits, *tail]])
        words.append(b" " + b"".join(bytes([0xC3, one]) if one > 127 else bytes([one]) for one in spelled))
    width = max(map(len, words))
    return np.frombuffer(b"".join(word.ljust(width, b"\0") for word in words), dtype=np.uint8).reshape(_WORDS, width)


def _spelled(numbers: Array, vocabulary: Letters) -> Letters:
    """Sentences as [rows, _MOST words, bytes]; zero bytes are none."""
    spread = (numbers * _SPREAD) & np.uint64((1 << _NUMBER_BITS) - 1)
    mixed = numbers * _MIX
    mixed ^= mixed >> np.uint64(29)
    mixed *= _SPREAD
    words = np.empty((len(numbers), _MOST), dtype=np.int64)
    for place in range(_MOST):
        bits = spread >> np.uint64(12 * place) if place < _FIRST_WORDS else mixed >> np.uint64(3 * place)
        words[:, place] = bits & np.uint64(_WORDS - 1)
    letters = vocabulary[words]
    lengths = _FEWEST + (mixed >> np.uint64(56)) % np.uint64(_MOST - _FEWEST + 1)
    letters[np.arange(_MOST) >= lengths[:, None].astype(np.int64)] = 0
    letters[:, 0, 0] = 0
    return letters


def _lines(letters: Letters) -> list[bytes]:
    """A line a row, without its end."""
    rows = letters.reshape(len(letters), -1)
    ended = np.column_stack([rows, np.full(len(rows), ord("\n"), dtype=np.uint8)])
    lines: list[bytes] = ended[ended != 0].tobytes().split(b"\n")[:-1]
    return lines
