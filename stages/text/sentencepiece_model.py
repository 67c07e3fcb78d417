"""Subwords of a SentencePiece model."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


class SentencePieceModel:
    """Texts <-> pieces. A text never becomes a control symbol."""

    def __init__(self, path: Path) -> None:
        self._model = open_model(path)

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces of each text."""
        # One thread: a worker process has one core to itself.
        return [list(row) for row in self._model.encode(list(texts), out_type=str, num_threads=1)] if texts else []

    def encode_prompt(self, before: str, text: str, after: str, marks: Collection[str]) -> list[str] | None:
        """None: it knows no special tokens by what they spell."""
        return None

    def decode(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of pieces."""
        return [str(text) for text in self._model.decode([list(row) for row in rows])] if rows else []

    def pieces(self) -> list[str]:
        """All pieces in order, without control symbols."""
        special = (self._model.IsControl, self._model.IsUnknown, self._model.IsUnused)
        numbers = range(self._model.GetPieceSize())
        return [self._model.IdToPiece(number) for number in numbers if not any(test(number) for test in special)]

    def spell(self, piece: str) -> list[str]:
        """The characters of a piece, as bytes where the model has those and lacks the character."""
        return [part for character in piece for part in self._character(character)]

    def _character(self, character: str) -> list[str]:
        known = self._model.PieceToId(character) != self._model.unk_id()
        spelled = [f"<0x{byte:02X}>" for byte in character.encode()]
        has_bytes = all(self._model.IsByte(self._model.PieceToId(byte)) for byte in spelled)
        return [character] if known or not has_bytes else spelled


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
