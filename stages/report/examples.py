"""Translations side by side, chosen by a rule that looks at none of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.report.differences import Segment, mark_differences

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = ("teacher", "student", "baseline")


@dataclass(frozen=True)
class Line:
    """A system's translation, in stretches that are in the reference or not, with its sentence chrF (0..100)."""

    role: str
    segments: Sequence[Segment]
    chrf: float


@dataclass(frozen=True)
class Example:
    """A test sentence with what each system made of it; languages as BCP-47 tags."""

    source_language: str
    target_language: str
    source: str
    reference: str
    lines: Sequence[Line]


def choose_rows(translations: "pa.Table", number: int, seed: int) -> list[dict[str, Any]]:
    """`number` rows drawn without replacement from all, sorted by id; depends on ids and seed alone."""
    import numpy as np

    rows: list[dict[str, Any]] = translations.sort_by("id").to_pylist()
    drawn = np.random.default_rng(seed).choice(len(rows), size=min(number, len(rows)), replace=False)
    return [rows[position] for position in sorted(drawn)]


def build_examples(rows: Sequence[dict[str, Any]]) -> list[Example]:
    """Each row's systems, teacher first, with what differs from the reference."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()

    def line(role: str, text: str, reference: str) -> Line:
        return Line(role, mark_differences(text, reference), metric.sentence_score(text, [reference]).score)

    return [
        Example(
            row["source_language"],
            row["target_language"],
            row["source"],
            row["reference"],
            [line(role, row[role], row["reference"]) for role in ROLES if role in row],
        )
        for row in rows
    ]
