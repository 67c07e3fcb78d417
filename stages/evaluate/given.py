"""Teachers whose translations are given: compared by what they gave of the test rows, without a speed or a size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data.artifact import Artifact
from data.language_tags import Direction
from data.model_folder import TeacherInfo, load_teacher_info
from data.teachers import FIRST, given_nodes, node_of
from stages.evaluate.pairs import Candidate
from stages.languages.directions import directions_of


@dataclass(frozen=True)
class GivenSystem:
    """What one teacher gave of the test rows, by id: of each row its first translation."""

    # Of a further teacher, as the recipe has it; empty for the first one.
    name: str
    made_by: str
    info: TeacherInfo
    texts: Mapping[str, str]

    @property
    def system(self) -> str:
        """What the evaluation calls it."""
        return node_of(FIRST, self.name or FIRST)

    def lines(self, rows: pa.Table) -> list[str] | None:
        """A translation of each row; None where one is missing: a score on other rows would be of another test set."""
        found = [self.texts.get(row_id) for row_id in rows["id"].to_pylist()]
        return [text for text in found if text is not None] if None not in found else None

    def candidate(self, rows: pa.Table) -> Candidate | None:
        """As it can be asked for the pairs of which it gave all rows; None where there are none."""
        texts: dict[tuple[str, Direction], str] = {}
        lacking = set[str]()
        named = zip(rows["id"].to_pylist(), rows["source"].to_pylist(), directions_of(rows), strict=True)
        for row_id, source, direction in named:
            if row_id in self.texts:
                texts[source, direction] = self.texts[row_id]
            else:
                lacking.add(str(direction))
        pairs = {str(direction) for _, direction in texts if self.info.translates(str(direction))} - lacking
        if not pairs:
            return None

        def translate(lines: Sequence[str], directions: Sequence[Direction]) -> list[str]:
            return [texts[line, direction] for line, direction in zip(lines, directions, strict=True)]

        return Candidate(self.info.model_copy(update={"pairs": tuple(sorted(pairs))}), translate)

    def described(self, rows: pa.Table) -> dict[str, Any]:
        """How many of the rows it translated, and who it is."""
        there = sum(row_id in self.texts for row_id in rows["id"].to_pylist())
        return {"made_by": self.made_by, "translated": there, "of": rows.num_rows}


def read_given(inputs: Mapping[str, Artifact]) -> list[GivenSystem]:
    """All teachers that are given, the first one first."""
    found = []
    for name, node in sorted(given_nodes(inputs).items(), key=lambda item: item[0] != FIRST):
        teacher, texts = inputs[node_of(FIRST, name)], dict[str, str]()
        for table in inputs[node].tables("test-", ["id", "texts"]):
            rows = zip(table["id"].to_pylist(), table["texts"].to_pylist(), strict=True)
            texts |= {row_id: given[0] for row_id, given in rows if given}
        made_by = str(teacher.manifest().config.get("made_by", ""))
        found.append(GivenSystem("" if name == FIRST else name, made_by, load_teacher_info(teacher.path()), texts))
    return found


def put_together(
    given: Sequence[GivenSystem], rows: pa.Table, translated: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """Translations by system, those that were given among them where all rows are there; the first teacher's first."""
    complete = {one.system: lines for one in given if (lines := one.lines(rows)) is not None}
    first = {name: complete.pop(name) for name in (FIRST,) if name in complete}
    return {**first, **translated, **complete}
