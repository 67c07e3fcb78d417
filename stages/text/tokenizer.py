"""Texts <-> subwords, by the models in a folder that the stage tokenizer, or an export, left."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from data.errors import ModelError
from data.fingerprint import bytes_digest, file_digest
from stages.text.codes_model import CodesModel
from stages.text.library_model import LibraryModel
from stages.text.marks import escape, is_mark, joined, split_at, unescape, without_marks
from stages.text.sentencepiece_model import SentencePieceModel, open_model

__all__ = ["Tokenizer", "load_tokenizer", "open_model"]

SOURCE_MODEL = "source.spm"
TARGET_MODEL = "target.spm"
# In their place, of the library tokenizers, for both sides.
LIBRARY_MODEL = "subwords.json"
# Lists of merges, whose `@@` ends what goes on.
SOURCE_CODES, TARGET_CODES = "source.codes", "target.codes"
DESCRIPTION = "tokenizer.json"
# All that a tokenizer's folder may hold.
FILES = (SOURCE_MODEL, TARGET_MODEL, LIBRARY_MODEL, SOURCE_CODES, TARGET_CODES, DESCRIPTION)


class SubwordModel(Protocol):
    """What makes subwords of texts."""

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each text."""

    def encode_prompt(self, before: str, text: str, after: str, marks: Collection[str]) -> list[str] | None:
        """Of a text with a template around it, whose marks become one subword each, and those of the text none.

        None where the model does not know special tokens by what they spell.
        """

    def decode(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of subwords."""

    def pieces(self) -> list[str]:
        """All subwords in order, without control symbols."""

    def spell(self, piece: str) -> list[str]:
        """The characters of a subword as subwords of their own."""


class Words:
    """Words between spaces; one that spells a mark is escaped."""

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Words of each text."""
        return [[escape(word) for word in text.split()] for text in texts]

    def encode_prompt(self, before: str, text: str, after: str, marks: Collection[str]) -> list[str] | None:
        """None: there are no special tokens."""
        return None

    def decode(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The words with a space between."""
        return [" ".join(unescape(word) for word in row) for row in rows]

    def pieces(self) -> list[str]:
        """None that are known."""
        return []

    def spell(self, piece: str) -> list[str]:
        """The word that it was given as."""
        return [escape(piece)]


@dataclass(frozen=True)
class Numbers:
    """A model that numbers its subwords."""

    # The subword of each number; None where a text that has it is to be encoded as subwords.
    tokens: tuple[str | None, ...]
    # Numbers of each text's subwords.
    encode: Callable[[Sequence[str]], list[list[int]]]


class Tokenizer:
    """Subwords of a folder's models. Pickles as its path; a model is read when it is first needed.

    A text never becomes a mark of the model, whatever it spells: those stand in a prompt's template alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        content = _read_description(folder)
        self.kind, self._digest = str(content["kind"]), str(content["digest"])
        self._marks: tuple[str, ...] = tuple(content.get("marks", ()))
        # Known to belong to the teacher, whatever its vocabulary lacks.
        self.is_teachers_own = bool(content.get("own"))
        self._moses: tuple[str, ...] = tuple(content.get("moses", ()))

    def __reduce__(self) -> tuple[object, ...]:
        return load_tokenizer, (self._folder,)

    def encode_source(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each text, without control symbols."""
        return self._encode(self._source, texts)

    def encode_target(self, texts: Sequence[str]) -> list[list[str]]:
        """Likewise, of texts in the target language."""
        return self._encode(self._target, texts)

    def source_numbers(self) -> "Numbers | None":
        """What numbers the subwords of sources; None where the model has no numbers."""
        return self._numbers(self._source)

    def target_numbers(self) -> "Numbers | None":
        """Likewise, of texts in the target language."""
        return self._numbers(self._target)

    def sample_source(self, text: str, seed: int, alpha: float, nbest_size: int) -> list[str]:
        """Subwords of a source, cut in one of many ways, which the seed decides.

        Raises ModelError where the model is none of SentencePiece's.
        """
        if not isinstance(self._source, SentencePieceModel):
            raise ModelError(
                f"{self._folder}: only a SentencePiece model cuts a text in many ways; leave student.subword_sampling "
                "out, or give the student such a model in [student_tokenizer]"
            )
        return without_marks(self._source.sample(text, seed, alpha, nbest_size), self._marks, self._source.spell)

    def encode_prompts(self, before: str, texts: Sequence[str], after: str) -> list[list[str]]:
        """Subwords of each source text with a template around it, whose special tokens become one subword each."""
        return [self._prompt(before, text, after) for text in texts]

    def decode_target(self, tokens: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of target subwords, without the space that many subwords begin with."""
        return [text.strip() for text in self._target.decode(tokens)]

    def digest(self) -> str:
        """Digest of the kind and the models."""
        return self._digest

    @property
    def marks(self) -> tuple[str, ...]:
        """Special tokens of its model, which a template may hold."""
        return self._marks

    def source_pieces(self) -> list[str]:
        """All subwords of the source model in order, without control symbols; none for kind `none`."""
        return self._source.pieces()

    def target_pieces(self) -> list[str]:
        """Likewise, of the target model."""
        return self._target.pieces()

    def _prompt(self, before: str, text: str, after: str) -> list[str]:
        if (whole := self._source.encode_prompt(before, text, after, self._marks)) is not None:
            return whole
        parts = joined([*split_at(before, self._marks), (text, False), *split_at(after, self._marks)])
        return [token for part, mark in parts for token in ([part] if mark else self.encode_source([part])[0])]

    def _numbers(self, model: SubwordModel) -> "Numbers | None":
        if not isinstance(model, SentencePieceModel):
            return None
        marks = [name is not None and (name in self._marks or is_mark(name)) for name in model.names()]
        names = [None if mark else name for name, mark in zip(model.names(), marks, strict=True)]
        return Numbers(tuple(names), model.encode_numbers)

    def _encode(self, model: SubwordModel, texts: Sequence[str]) -> list[list[str]]:
        if isinstance(model, Words):
            return model.encode(texts)
        return [without_marks(row, self._marks, model.spell) for row in model.encode(texts)]

    @cached_property
    def _source(self) -> SubwordModel:
        if self.kind == "none":
            return Words()
        library, codes = self._folder / LIBRARY_MODEL, self._folder / SOURCE_CODES
        if codes.exists():
            return CodesModel(codes, *self._moses[:1])
        return LibraryModel(library) if library.exists() else SentencePieceModel(self._folder / SOURCE_MODEL)

    @cached_property
    def _target(self) -> SubwordModel:
        own, codes = self._folder / TARGET_MODEL, self._folder / TARGET_CODES
        if (self._folder / SOURCE_CODES).exists() and (codes.exists() or self._moses):
            return CodesModel(codes if codes.exists() else self._folder / SOURCE_CODES, *self._moses[1:])
        return SentencePieceModel(own) if self.kind != "none" and own.exists() else self._source


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder that this stage, or an export, left; raises ModelError when it is none."""
    return Tokenizer(Path(folder))


def describe(
    folder: Path, kind: str, marks: Sequence[str] = (), *, own: bool = False, moses: Sequence[str] = ()
) -> dict[str, Any]:
    """What `tokenizer.json` says of the models in a folder.

    `marks`: special tokens of their teacher's format; `own`: they are known to be its own; `moses`: languages, source
    and target, whose rules cut words.
    """
    names = (SOURCE_MODEL, TARGET_MODEL)
    digests = [file_digest(folder / name) if (folder / name).exists() else None for name in names]
    others = [folder / name for name in (LIBRARY_MODEL, SOURCE_CODES, TARGET_CODES)]
    more = [file_digest(path) for path in others if path.exists()]
    more += [",".join(sorted(marks))] if marks else []
    more += [" ".join(moses)] if moses else []
    digest = bytes_digest(json.dumps([kind == "none", *digests, *more]).encode())
    told: dict[str, Any] = {"marks": sorted(marks)} if marks else {}
    told |= ({"own": True} if own else {}) | ({"moses": list(moses)} if moses else {})
    return {"kind": kind, "source_digest": digests[0], "target_digest": digests[1], "digest": digest, **told}


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
        return {**content, "kind": content["kind"], "digest": content["digest"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} has no readable {DESCRIPTION} ({error}); expected a tokenizer's folder") from error
