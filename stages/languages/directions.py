"""Which rows a model is asked for in which direction: one group where it needs no language tags."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.language_tags import Direction
from data.model_folder import TeacherInfo

COLUMNS = ("source_language", "target_language")
# What a model that needs no tags is asked for.
ANY = Direction("", "")


def directions_of(table: pa.Table) -> list[Direction]:
    """The direction of each row."""
    sources, targets = (table.column(name).to_pylist() for name in COLUMNS)
    return [Direction(*pair) for pair in zip(sources, targets, strict=True)]


def by_direction(info: TeacherInfo, directions: Sequence[Direction]) -> Iterator[tuple[Direction, list[int]]]:
    """Directions that the model is for, each with its rows, in the order of their first ones.

    A model that needs no tags has one group of all rows, whatever their languages.
    """
    if not info.is_tagged():
        yield ANY, list(range(len(directions)))
        return
    yield from grouped(direction if info.translates(str(direction)) else None for direction in directions)


def rows_by_direction(info: TeacherInfo, table: pa.Table) -> Iterator[tuple[Direction, list[int]]]:
    """The same of a table, whose languages are looked at only where the model needs tags."""
    if not info.is_tagged():
        return iter([(ANY, list(range(table.num_rows)))])
    return by_direction(info, directions_of(table))


def grouped(directions: Iterable[Direction | None]) -> Iterator[tuple[Direction, list[int]]]:
    """Each direction with its places, in the order of their first ones; those of None are left out."""
    found: dict[Direction, list[int]] = {}
    for row, direction in enumerate(directions):
        if direction is not None:
            found.setdefault(direction, []).append(row)
    yield from found.items()


def some_direction(info: TeacherInfo) -> Direction:
    """A direction to try a model in, where any is as good as another."""
    if not info.is_tagged():
        return ANY
    names = list(info.language_names)
    return Direction(names[0], names[-1])


def is_for(info: TeacherInfo, table: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether the teacher is for a row, [rows]."""
    if not info.pairs:
        return np.ones(table.num_rows, dtype=bool)
    return np.array([info.translates(str(direction)) for direction in directions_of(table)], dtype=bool)
