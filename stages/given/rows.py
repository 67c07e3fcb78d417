"""Where in the corpus a row is, by its id or its source: 12 bytes a row, three times that while they are sorted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.artifact import Artifact
from data.ids import normalise, row_id
from data.language_tags import Direction
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import directions_of

# Who translates is given all of them; valid rows have no use here, and are known all the same.
SPLITS = ("train-", "valid-", "test-")


@dataclass(frozen=True)
class Rows:
    """The shards of a corpus that rows may be in, and which of its first 64 bits say where an id is, sorted."""

    shards: tuple[str, ...]
    keys: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int32]
    directions: frozenset[Direction]

    @classmethod
    def of(cls, corpus: Artifact, pairs: Sequence[str]) -> "Rows":
        """Of the rows of some language pairs, or, where none are named, of all."""
        shards = tuple(name for split in SPLITS for name in corpus.shard_names(split))
        keys, places, directions = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], set[Direction]()
        for place, shard in enumerate(shards):
            found, named = read_keys(corpus, shard, pairs)
            directions |= named
            both = {key for pair in found for key in pair if key}
            keys.append(numbers(sorted(both)))
            places.append(np.full(len(both), place, np.int32))
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        return cls(shards, every[order], np.concatenate(places)[order], frozenset(directions))

    def shards_with(self, key: str) -> list[int]:
        """Numbers of the shards that have a row of this id or base; now and then of one that has not."""
        number = np.uint64(int(key[:16], 16))
        first, last = np.searchsorted(self.keys, number, "left"), np.searchsorted(self.keys, number, "right")
        return list(dict.fromkeys(self.places[first:last].tolist()))


def read_keys(corpus: Artifact, shard: str, pairs: Sequence[str]) -> tuple[list[tuple[str, str]], set[Direction]]:
    """Id and base of each row of a shard, both empty for pairs that are not wanted; and the languages of the others.

    The base is the id that the same source has where it comes first: a test set may have a sentence twice.
    """
    table = corpus.read_shard(shard, ["id", "source", *LANGUAGES])
    ids, wanted = table.column("id").to_pylist(), _wanted(table, pairs)
    if shard.startswith("train-"):
        bases = ids
    else:
        rows = zip(directions_of(table), table.column("source").to_pylist(), strict=True)
        bases = [row_id(*direction, normalise(source)) for direction, source in rows]
    directions = {one for one in wanted if one is not None}
    keys = [("", "") if one is None else (own, base) for one, own, base in zip(wanted, ids, bases, strict=True)]
    return keys, directions


def numbers(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The first 64 bits of each, [keys]."""
    halves = np.frombuffer(bytes.fromhex("".join(keys)), ">u8").reshape(-1, 2)
    return halves[:, 0].astype(np.uint64)


def _wanted(table: pa.Table, pairs: Sequence[str]) -> list[Direction | None]:
    return [one if not pairs or str(one) in pairs else None for one in directions_of(table)]
