"""What every training of `make bench-quality` leaves in bench/results/quality/: its facts and its translations.

With the test set beside them, anybody can score them again by other means.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.methods import Method
from bench.records import RESULTS, hardware
from data.artifact import Artifact
from data.errors import DataError
from data.local import write_atomically
from data.manifest import Manifest
from stages.loaded_model.translate import load_translator
from stages.text.tokenizer import load_tokenizer

FOLDER = RESULTS / "quality"
TEACHER = "teacher"
SEARCHED = "beam"
# Share of sentences in which a model may differ from itself: in 8 bits processors do not all round alike.
_ROUNDED_OTHERWISE = 0.05
_FIGURES = ("steps", "tokens", "seconds", "cpu_seconds", "threads", "parameters", "rows")
_VALID = ("valid_cross_entropy", "valid_accuracy")


class Facts(BaseModel):
    """Of one training, or of the teacher."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    seed: int = Field(description="of the student; 0 for the teacher")
    recipe: str = Field("quality", description="which of recipes/ it changes")
    changes: tuple[str, ...]
    training: dict[str, float] = Field(description="what the training says of itself")
    hardware: str
    libraries: dict[str, str]
    date: str

    @property
    def parameters(self) -> float:
        """Weights of the model."""
        return self.training["parameters"]


@dataclass(frozen=True)
class Result:
    """Facts and one translation for each sentence of the test set."""

    facts: Facts
    translations: Sequence[str]
    searched: Sequence[str] | None = None  # the same with the teacher's beam, where the method asks for it

    @property
    def method(self) -> str:
        """Name in bench/methods.py."""
        return self.facts.method

    @property
    def seed(self) -> int:
        """Of the student."""
        return self.facts.seed

    def check(self, translations: Sequence[str]) -> None:
        """Raises DataError when `translations`, of the same sentences, are another model's: rows cannot be compared."""
        pairs = zip(self.translations, translations, strict=True)
        others = sum(_line(line) != kept for kept, line in pairs)
        if others > _ROUNDED_OTHERWISE * len(self.translations):
            raise DataError(
                f"{self.method}.{self.seed}.txt has {others} of {len(self.translations)} sentences otherwise than the "
                f"{self.method} of today, which is another: remove runs/quality-* and {FOLDER} to begin anew with it"
            )


@dataclass(frozen=True)
class TestSet:
    """Held-out sentences with a reference, in the order of the corpus."""

    __test__ = False  # no test, whatever pytest thinks of its name

    sources: Sequence[str]
    references: Sequence[str]

    @classmethod
    def of(cls, corpus: Artifact) -> "TestSet":
        """The test split."""
        rows = [row for table in corpus.tables("test-", ["source", "reference"]) for row in table.to_pylist()]
        rows = [row for row in rows if row["reference"]]
        return cls([row["source"] for row in rows], [row["reference"] for row in rows])

    def save(self, folder: Path = FOLDER) -> None:
        """As two files of lines; texts of the corpus have no line breaks."""
        folder.mkdir(parents=True, exist_ok=True)
        _write_lines(folder / "test.source.txt", self.sources)
        _write_lines(folder / "test.reference.txt", self.references)

    def check(self, folder: Path = FOLDER) -> None:
        """Raises DataError unless it is the one that was saved: scores on another cannot be compared."""
        path = folder / "test.source.txt"
        if read_lines(path) != [_line(line) for line in self.sources]:
            raise DataError(f"{path} holds other sentences than this corpus holds out; remove {folder} to begin anew")

    def translate(self, model: Path, tokenizer: Path, beam_size: int) -> list[str]:
        """By a CTranslate2 folder, on a thread."""
        translator = load_translator(model, tokenizer=load_tokenizer(tokenizer), threads=1)
        return [found.text for found in translator.translate(self.sources, beam_size=beam_size)]


def keep_result(
    method: Method,
    seed: int,
    manifest: Manifest,
    lines: Sequence[str],
    searched: Sequence[str] | None = None,
    folder: Path = FOLDER,
) -> None:
    """Writes the translations, then the facts: a result without facts is none."""
    facts = Facts(
        method=method.name,
        seed=seed,
        recipe=method.recipe,
        changes=method.changes,
        training={name: manifest.metrics[name] for name in (*_FIGURES, *_VALID) if name in manifest.metrics},
        hardware=hardware("cpu"),
        libraries=manifest.libraries,
        date=datetime.now(UTC).date().isoformat(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / f"{method.name}.{seed}.txt", lines)
    if searched is not None:
        _write_lines(folder / f"{method.name}.{seed}.{SEARCHED}.txt", searched)
    write_atomically(folder / f"{method.name}.{seed}.json", f"{json.dumps(facts.model_dump(), indent=1)}\n".encode())


def read_results(folder: Path = FOLDER) -> list[Result]:
    """All there are, by name and seed."""
    found = [Facts.model_validate_json(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return [_result(facts, folder) for facts in found]


def _result(facts: Facts, folder: Path) -> Result:
    name = f"{facts.method}.{facts.seed}"
    searched = folder / f"{name}.{SEARCHED}.txt"
    return Result(facts, read_lines(folder / f"{name}.txt"), read_lines(searched) if searched.is_file() else None)


def read_references(folder: Path = FOLDER) -> list[str]:
    """One for each translation of a result."""
    return read_lines(folder / "test.reference.txt")


def read_lines(path: Path) -> list[str]:
    """Lines of a file, broken at \\n alone."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _write_lines(path: Path, lines: Sequence[Any]) -> None:
    write_atomically(path, "".join(f"{_line(line)}\n" for line in lines).encode())


def _line(text: str) -> str:
    """As it is kept: no whitespace in it breaks a line."""
    return " ".join(text.split())
