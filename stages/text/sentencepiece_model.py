"""Subwords of a SentencePiece model."""

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


# Of the library's random numbers there is one seed for the whole process.
_SEED = threading.Lock()


class SentencePieceModel:
    """Texts <-> pieces. A text never becomes a control symbol."""

    def __init__(self, path: Path) -> None:
        self._model = open_model(path)

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces of each text."""
        # One thread: a worker process has one core to itself.
        return [list(row) for row in self._model.encode(list(texts), out_type=str, num_threads=1)] if texts else []

    def encode_numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """The same as the model's own numbers: a third of the time."""
        return list(self._model.encode(list(texts), out_type=int, num_threads=1)) if texts else []

    def sample(self, text: str, seed: int, alpha: float, nbest_size: int) -> list[str]:
        """Pieces of a text, cut in one of many ways, which the seed decides (https://arxiv.org/abs/1804.10959)."""
        from sentencepiece import set_random_generator_seed

        with _SEED:
            set_random_generator_seed(seed)
            return list(
                self._model.encode(text, out_type=str, enable_sampling=True, alpha=alpha, nbest_size=nbest_size)
            )

    def names(self) -> list[str | None]:
        """The piece of each number; None for what is no piece of a text."""
        special = (self._model.IsControl, self._model.IsUnknown, self._model.IsUnused)
        numbers = range(self._model.GetPieceSize())
        return [None if any(test(each) for test in special) else self._model.IdToPiece(each) for each in numbers]

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
