"""What every training of `make bench-quality` leaves in bench/results/quality.parquet: its facts and its translations.

A row a training, one of the teacher, and two of the test set, its sources and its references.

With the test set beside them, anybody can score them again by other means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from bench.methods import Method
from bench.records import RESULTS, hardware
from data.artifact import Artifact
from data.errors import DataError
from data.local import atomic
from data.manifest import Manifest
from stages.loaded_model.translate import load_translator
from stages.text.tokenizer import load_tokenizer

ARCHIVE = RESULTS / "quality.parquet"
TEACHER = "teacher"
SOURCES, REFERENCES = "test.source", "test.reference"
# `facts` as JSON, of results alone; `searched` is with the teacher's beam, where the method asks for it.
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("facts", pa.string()),
        ("translations", pa.list_(pa.string())),
        ("searched", pa.list_(pa.string())),
    ]
)
# Trainings end side by side.
_ONE_WRITER = Lock()
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
                f"{self.method}.{self.seed} has {others} of {len(self.translations)} sentences otherwise than the "
                f"{self.method} of today, which is another: remove runs/quality-* and {ARCHIVE} to begin anew with it"
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

    def save(self, archive: Path = ARCHIVE) -> None:
        """As two rows of lines; texts of the corpus have no line breaks."""
        _keep(SOURCES, None, self.sources, None, archive)
        _keep(REFERENCES, None, self.references, None, archive)

    def check(self, archive: Path = ARCHIVE) -> None:
        """Raises DataError unless it is the one that was saved: scores on another cannot be compared."""
        if _rows(archive)[SOURCES]["translations"] != [_line(line) for line in self.sources]:
            raise DataError(f"{archive} holds other sentences than this corpus holds out; remove it to begin anew")

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
    archive: Path = ARCHIVE,
) -> None:
    """Adds the result, or puts it in the place of the one of the same method and seed."""
    facts = Facts(
        method=method.name,
        seed=seed,
        recipe=method.recipe,
        changes=method.changes,
        training=_told(manifest.metrics),
        hardware=hardware("cpu"),
        libraries=manifest.libraries,
        date=datetime.now(UTC).date().isoformat(),
    )
    _keep(f"{method.name}.{seed}", facts, lines, searched, archive)


def _told(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What is kept of a training's metrics."""
    every = {**metrics, **metrics.get("timing", {})}
    return {name: every[name] for name in (*_FIGURES, *_VALID) if name in every}


def read_results(archive: Path = ARCHIVE) -> list[Result]:
    """All there are, by name and seed."""
    return [
        Result(Facts.model_validate_json(row["facts"]), row["translations"], row["searched"])
        for row in _rows(archive).values()
        if row["facts"]
    ]


def read_references(archive: Path = ARCHIVE) -> list[str]:
    """One for each translation of a result."""
    return list(_rows(archive)[REFERENCES]["translations"])


def _rows(archive: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in pq.read_table(archive).to_pylist()} if archive.is_file() else {}


def _keep(name: str, facts: Facts | None, lines: Sequence[str], searched: Sequence[str] | None, archive: Path) -> None:
    row = {
        "name": name,
        "facts": facts.model_dump_json() if facts else None,
        "translations": [_line(line) for line in lines],
        "searched": None if searched is None else [_line(line) for line in searched],
    }
    with _ONE_WRITER:
        rows = _rows(archive) | {name: row}
        table = pa.Table.from_pylist([rows[each] for each in sorted(rows)], schema=_SCHEMA)
        archive.parent.mkdir(parents=True, exist_ok=True)
        with atomic(archive) as temporary:
            pq.write_table(table, temporary, compression="zstd", compression_level=19)


def _line(text: str) -> str:
    """As it is kept: no whitespace in it breaks a line."""
    return " ".join(text.split())
