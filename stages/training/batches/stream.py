"""Rows to train on: where they are read, how often each is drawn, and how those of several language pairs differ."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import DataError
from data.language_tags import Direction
from stages.languages.directions import COLUMNS
from stages.training.batches.copies import Worth
from stages.training.batches.ragged import Ragged

Shard = Callable[[], pa.Table]  # reads one shard; called once an epoch
Array = npt.NDArray[np.generic]
# One value, one row of values, or any number of values a target position.
Soft = Array | Ragged
# Of a row: how often it has been drawn before, or a number that grows with that. Two draws of one never share it.
TURN = "turn"
_BETWEEN = "\x1f"
# Between a stream's name and that of a part of it whose batches are its own.
SEPARATOR = "/"


def pair_of(stream: str) -> str:
    """The pair of a part so called; empty for what is of several pairs."""
    return stream.partition(SEPARATOR)[2]


class SoftTargetReader(Protocol):
    """Reads what a batch carries beside its tokens."""

    def read(self, table: pa.Table) -> dict[str, Soft]:
        """Arrays [sum of T, ...]: one entry a target position, </s> included, row after row; ragged where they differ.

        In a batch what is ragged is an array that is filled up with 0.
        """

    def is_for(self, schema: pa.Schema, pair: str) -> bool:
        """Whether rows of a language pair have any, in tables of this schema."""


@dataclass(frozen=True)
class Pairs:
    """The language pairs of a stream's rows: what stands before a source of each, and which share batches."""

    directions: tuple[Direction, ...]
    # Tokens before every source, as many for each.
    prefixes: tuple[tuple[str, ...], ...]
    # What batches of a pair's rows are called; pairs of one name share batches.
    groups: tuple[str, ...]
    # Whether there are soft targets for it, where the stream has any.
    taught: tuple[bool, ...]

    def places(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """Of each row its pair's place; raises DataError for a row of another pair."""
        known = pa.array([_BETWEEN.join(direction) for direction in self.directions], pa.string())
        found = pc.index_in(pc.binary_join_element_wise(*(table[name] for name in COLUMNS), _BETWEEN), known)
        if found.null_count:
            row = int(np.flatnonzero(found.is_null().to_numpy())[0])
            pair = Direction(*(table[name][row].as_py() for name in COLUMNS))
            raise DataError(
                f"a row of the language pair {pair}; expected one of {', '.join(map(str, self.directions))}, which the "
                "manifests of corpus and datasets tell of: delete the folder that this shard is in and run again"
            )
        return np.asarray(found.to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class Sampling:
    """Subword regularisation (https://arxiv.org/abs/1804.10959) of sources: another way to cut them at each turn."""

    alpha: float
    nbest_size: int


@dataclass(frozen=True)
class Stream:
    """Rows to train on. A shard is a function that reads a table with `source` and the target column.

    The target column holds text, which is tokenised here, or lists of tokens; rows where it is null are passed over.
    """

    name: str
    shards: Sequence[Shard]
    target_column: str
    soft_targets: SoftTargetReader | None = None
    # Tokens before every source, before those of its pair.
    source_prefix: tuple[str, ...] = ()
    # What is made of a shard's rows at their turns [rows], where it is not the table itself, such as another target.
    draw: Callable[[pa.Table, npt.NDArray[np.int64]], pa.Table] | None = None
    # Where rows are not drawn once an epoch; the shards then have the column `id`.
    worth: Worth | None = None
    # Where rows are of several language pairs; the shards then have the columns of their languages.
    pairs: Pairs | None = None
    # Of how many rows of each pair with a target its shards are, where that is known without reading them.
    rows: Mapping[Direction, int] | None = None
    # The same, each row as often as it is drawn, where that is not once.
    weighed: Mapping[Direction, float] | None = None
    # Where sources are cut in many ways; the shards then have the column `id`.
    sampling: Sampling | None = None
