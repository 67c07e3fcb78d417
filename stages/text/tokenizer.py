"""Texts <-> subwords, by the models in a folder that the stage tokenizer, or an export, left."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError
from data.fingerprint import bytes_digest, file_digest

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SOURCE_MODEL = "source.spm"
TARGET_MODEL = "target.spm"
DESCRIPTION = "tokenizer.json"


class Tokenizer:
    """Subwords of a folder's models. Pickles as its path; a model is read when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kind, self._digest = _read_description(folder)

    def __reduce__(self) -> tuple[object, ...]:
        return load_tokenizer, (self._folder,)

    def encode_source(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each text, without control symbols."""
        return _encode(self._source, texts)

    def encode_target(self, texts: Sequence[str]) -> list[list[str]]:
        """Likewise, of texts in the target language."""
        return _encode(self._target, texts)

    def decode_target(self, tokens: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of target subwords."""
        if self._target is None:
            return [" ".join(row) for row in tokens]
        return [str(text) for text in self._target.decode([list(row) for row in tokens])] if len(tokens) else []

    def digest(self) -> str:
        """Digest of the kind and the models."""
        return self._digest

    def source_pieces(self) -> list[str]:
        """All subwords of the source model in order, without control symbols; none for kind `none`."""
        return _pieces(self._source)

    def target_pieces(self) -> list[str]:
        """Likewise, of the target model."""
        return _pieces(self._target)

    @cached_property
    def _source(self) -> "SentencePieceProcessor | None":
        return None if self._kind == "none" else open_model(self._folder / SOURCE_MODEL)

    @cached_property
    def _target(self) -> "SentencePieceProcessor | None":
        own = self._folder / TARGET_MODEL
        return open_model(own) if self._kind != "none" and own.exists() else self._source


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder that this stage, or an export, left; raises ModelError when it is none."""
    return Tokenizer(Path(folder))


def open_model(path: Path) -> "SentencePieceProcessor":
    """A SentencePiece model; raises ModelError when the file is missing or no such model."""
    from sentencepiece import SentencePieceProcessor

    try:
        model = SentencePieceProcessor()
        model.LoadFromSerializedProto(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; expected a SentencePiece model") from error
    except RuntimeError as error:
        raise ModelError(f"{path} is no SentencePiece model, or a damaged one ({error}); give another") from error
    return model


def describe(folder: Path, kind: str) -> dict[str, str | None]:
    """What `tokenizer.json` says of the models in a folder."""
    digests = [
        file_digest(folder / name) if (folder / name).exists() else None for name in (SOURCE_MODEL, TARGET_MODEL)
    ]
    digest = bytes_digest(json.dumps([kind == "none", *digests]).encode())
    return {"kind": kind, "source_digest": digests[0], "target_digest": digests[1], "digest": digest}


def _read_description(folder: Path) -> tuple[str, str]:
    try:
        content = json.loads((folder / DESCRIPTION).read_bytes())
        return str(content["kind"]), str(content["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} has no readable {DESCRIPTION} ({error}); expected a tokenizer's folder") from error


def _encode(model: "SentencePieceProcessor | None", texts: Sequence[str]) -> list[list[str]]:
    if model is None:
        return [text.split() for text in texts]
    # One thread: a worker process has one core to itself.
    return [list(row) for row in model.encode(list(texts), out_type=str, num_threads=1)] if len(texts) else []


def _pieces(model: "SentencePieceProcessor | None") -> list[str]:
    if model is None:
        return []
    special = (model.IsControl, model.IsUnknown, model.IsUnused)
    numbers = range(model.GetPieceSize())
    return [model.IdToPiece(number) for number in numbers if not any(test(number) for test in special)]
