"""A system that is evaluated: a model decoded with one beam, and the sentences that it is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from data.language_tags import Direction
from data.model_folder import load_teacher_info
from stages.languages.directions import directions_of
from stages.loaded_model.model import TargetVocabulary
from stages.loaded_model.translate import TextTranslator, load_translator, size_on_disk
from stages.text.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Sentences:
    """Sources, each with the direction in which it is to be translated."""

    lines: Sequence[str]
    directions: Sequence[Direction]

    @classmethod
    def of(cls, rows: pa.Table) -> "Sentences":
        """Those of some rows."""
        return cls(rows["source"].to_pylist(), directions_of(rows))


@dataclass(frozen=True)
class System:
    """One model decoded with one beam, and what it takes on disk."""

    role: str
    translator: TextTranslator
    beam: int
    parameters: int
    bytes: int
    quantization: str
    folder: Path
    # Of a further teacher, as the recipe has it.
    name: str = ""

    def vocabulary(self) -> TargetVocabulary:
        """Its target vocabulary."""
        return TargetVocabulary.read(self.folder, load_teacher_info(self.folder).end_token)

    def translate(self, sentences: Sentences, batch_tokens: int) -> tuple[list[str], int]:
        """The translations, and how many target subwords they took."""
        found = self.translator.translate(
            sentences.lines, beam_size=self.beam, batch_tokens=batch_tokens, directions=sentences.directions
        )
        return [translation.text for translation in found], sum(translation.tokens for translation in found)


def load_system(role: str, folder: Path, tokenizer_folder: Path, beam: int, threads: int, device: str) -> System:
    """The model in a folder with a tokenizer, as it is used; raises ModelError when it cannot be loaded."""
    info = load_teacher_info(folder)
    return System(
        role=role,
        translator=load_translator(folder, tokenizer=load_tokenizer(tokenizer_folder), threads=threads, device=device),
        beam=beam,
        parameters=info.parameters,
        bytes=size_on_disk(folder, tokenizer_folder),
        quantization=info.quantization,
        folder=folder,
    )
