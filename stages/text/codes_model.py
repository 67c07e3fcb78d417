"""Subwords by a list of merges, as subword-nmt and fastBPE write it: `@@` at the end of what goes on."""

import re
from collections.abc import Collection, Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError

if TYPE_CHECKING:
    from subword_nmt.apply_bpe import BPE

_GOES_ON = re.compile(r"@@ |@@$")
_HEADER = "#version:"
_LOOKED_AT = 200
# Letters.
LONGEST_WORD = 2048
# Names that SentencePiece's and the library tokenizers' models have.
_OF_OTHERS = (".spm", ".model", ".json")


class CodesModel:
    """Texts <-> subwords. Needs the packages subword-nmt, and sacremoses where words are cut as Moses cuts them."""

    def __init__(self, path: Path, moses: str = "") -> None:
        """`moses`: the language whose rules cut a text into words; without, words stand between spaces already."""
        self._path, self._language = path, moses

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each text."""
        return [[part for word in self._words(text) for part in self._segment(word)] for text in texts]

    def encode_prompt(self, before: str, text: str, after: str, marks: Collection[str]) -> list[str] | None:
        """None: it knows no special tokens by what they spell."""
        return None

    def decode(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of subwords."""
        joined = [_GOES_ON.sub("", " ".join(row)) for row in rows]
        return [self._moses[1].detokenize(text.split()) for text in joined] if self._language else joined

    def pieces(self) -> list[str]:
        """None that are known: a list of merges has no vocabulary."""
        return []

    def spell(self, piece: str) -> list[str]:
        """The characters of a subword as subwords of their own."""
        return [f"{character}@@" for character in piece[:-1]] + [piece[-1:]]

    def _segment(self, word: str) -> list[str]:
        """Subwords of a word; of one that is longer than any that people write, of so many letters at a time.

        The time that it takes grows with the square of them.
        """
        cut = [word[start : start + LONGEST_WORD] for start in range(0, len(word), LONGEST_WORD)]
        parts: list[list[str]] = [self._codes.segment_tokens([letters]) for letters in cut]
        for part in parts[:-1]:
            part[-1] += "@@"
        return [subword for part in parts for subword in part]

    def _words(self, text: str) -> list[str]:
        if not self._language:
            return text.split()
        words: list[str] = self._moses[0].tokenize(text, aggressive_dash_splits=True)
        return words

    @cached_property
    def _codes(self) -> "BPE":
        try:
            from subword_nmt.apply_bpe import BPE
        except ImportError as error:
            raise _missing("subword-nmt", self._path) from error
        return BPE(StringIO(_readable(self._path)))

    @cached_property
    def _moses(self) -> tuple[Any, Any]:
        try:
            from sacremoses import MosesDetokenizer, MosesTokenizer
        except ImportError as error:
            raise _missing("sacremoses", self._path) from error
        return MosesTokenizer(self._language), MosesDetokenizer(self._language)


def is_codes_file(path: Path) -> bool:
    """Whether a file is a list of merges: two subwords a line, perhaps with how often they met."""
    if path.suffix in _OF_OTHERS:
        return False
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            lines = [line.rstrip("\r\n") for _, line in zip(range(_LOOKED_AT), stream, strict=False)]
    except (OSError, ValueError):
        return False
    merges = [line.split(" ") for line in lines if line and not line.startswith(_HEADER)]
    return bool(merges) and all(len(merge) in (2, 3) and all(merge) for merge in merges)


def _readable(path: Path) -> str:
    """As subword-nmt reads it: with a version, without the counts that fastBPE writes."""
    lines = path.read_text(encoding="utf-8").split("\n")
    header = lines[0] if lines[0].startswith(_HEADER) else ""
    merges = [" ".join(line.rstrip("\r").split(" ")[:2]) for line in lines[bool(header) :] if line.strip()]
    # In the first version the end of a word is merged like a character.
    first = any(merge.endswith(" </w>") for merge in merges)
    return "\n".join([header or f"{_HEADER} {'0.1' if first else '0.2'}", *merges]) + "\n"


def _missing(package: str, path: Path) -> ModelError:
    return ModelError(
        f"{path} needs the package {package}, which is not installed: pip install {package}, on every machine with "
        "workers"
    )
