"""Rows of a corpus to look at: a bounded sample of each source, with the references that stand near each row.

Shards are random samples of the corpus, so the first ones will do. Which lines stand near one another is told by
`location`, which ends with the number of a line or row in most kinds of sources.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact

# So many lines before and behind each row's own are looked at.
FARTHEST = 5
SHIFTS = (*range(-FARTHEST, 0), *range(1, FARTHEST + 1))
# Rows whose place is looked at. Where there are more, lines near one another are still found: with half a million of a
# billion rows 250 pairs of neighbours.
_PLACES = 500_000
# Rows of which a translation may be asked for: sources of which these hold too few are not looked at.
_TRANSLATED = 100_000
_LINE_BITS = 40
_PLACE = r"^(?s:(?P<file>.*)):(?P<line>[0-9]{1,12})$"
_COLUMNS = ("source", "reference", "source_language", "target_language", "origin", "location")

Numbers = npt.NDArray[np.int64]


@dataclass
class Sample:
    """Rows of one source in the order of its files and lines; lists are [rows]."""

    source_language: str
    target_language: str
    places: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    references: list[str | None] = field(default_factory=list)
    # References of the lines that stand so much further, as SHIFTS has them; None where there is none.
    near: list[list[str | None]] = field(default_factory=list)


@dataclass(frozen=True)
class _Places:
    """Where rows stand, [rows] each: their source, and their file and line as one number, -1 where none is told."""

    origins: list[str]
    origin: Numbers
    line: Numbers
    starts: Numbers  # of each shard its first row, and the end of the last one, [shards + 1]


@dataclass(frozen=True)
class Size:
    """Of each source a share of its rows is looked at, but at least and at most so many."""

    most: int
    least: int = 200
    share: float = 0.03

    def rows(self, there: int) -> int:
        """Of a source with so many rows."""
        return min(self.most, max(self.least, int(self.share * there)))


def draw(corpus: Artifact, nbest: Artifact, size: Size) -> dict[str, Sample]:
    """By source a sample of its rows in the training split, with the first hypothesis of each."""
    shards = list(_enough(corpus))
    places = _places(corpus, shards)
    chosen = _chosen(places, size)
    near = _neighbours(places, chosen)
    texts = _texts(corpus, shards, places, np.unique(np.concatenate([chosen, near[near >= 0]])))
    hypotheses = _hypotheses(nbest, shards, places, chosen)
    samples: dict[str, Sample] = {}
    for row, around in zip(chosen.tolist(), near.tolist(), strict=True):
        if not hypotheses[row].strip():
            continue
        own = texts[row]
        sample = samples.setdefault(own["origin"], Sample(own["source_language"], own["target_language"]))
        sample.places.append(own["location"])
        sample.sources.append(own["source"])
        sample.references.append(own["reference"])
        sample.hypotheses.append(hypotheses[row])
        sample.near.append([texts[other]["reference"] if other >= 0 else None for other in around])
    return samples


def _enough(corpus: Artifact) -> Iterator[str]:
    rows = {shard.name: shard.rows for shard in corpus.manifest().shards}
    seen = 0
    for name in corpus.shard_names("train-"):
        yield name
        seen += rows[name]
        if seen >= _PLACES:
            return


def _places(corpus: Artifact, shards: Sequence[str]) -> _Places:
    origins: dict[str, int] = {}
    files: dict[tuple[int, str], int] = {}
    parts: list[tuple[Numbers, Numbers]] = []
    for shard in shards:
        table = corpus.read_shard(shard, ["origin", "location"])
        origin, names = _numbered(table.column("origin"))
        origin = np.array([origins.setdefault(name, len(origins)) for name in names], dtype=np.int64)[origin]
        parts.append((origin, _lines(table.column("location"), origin, files)))
    starts = np.cumsum([0, *(len(origin) for origin, _ in parts)])
    none = np.zeros(0, dtype=np.int64)
    origin, line = (np.concatenate([none, *column]) for column in ([one[side] for one in parts] for side in (0, 1)))
    return _Places(list(origins), origin, line, starts)


def _lines(locations: pa.ChunkedArray, origin: Numbers, files: dict[tuple[int, str], int]) -> Numbers:
    """Files, which are numbered on the way, and lines as one number each, [rows]."""
    found = pc.extract_regex(locations, _PLACE).combine_chunks()
    file, names = _numbered(pc.struct_field(found, "file").fill_null(""))
    line = pc.struct_field(found, "line").cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    pair = origin * len(names) + file
    kinds, of = np.unique(pair, return_inverse=True)
    numbers = [files.setdefault((int(kind) // len(names), names[int(kind) % len(names)]), len(files)) for kind in kinds]
    packed = np.array(numbers, dtype=np.int64)[of] << _LINE_BITS | line
    return np.where(line < 0, -1, packed)


def _numbered(column: Any) -> tuple[Numbers, list[str]]:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = column.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _chosen(places: _Places, size: Size) -> Numbers:
    """Rows of the sample, in the order of their files and lines."""
    there = np.bincount(places.origin, minlength=len(places.origins)).tolist()
    candidates = places.origin[:_TRANSLATED]
    found = [np.flatnonzero(candidates == origin)[: size.rows(rows)] for origin, rows in enumerate(there)]
    rows = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    return rows[np.lexsort((places.line[rows], places.origin[rows]))]


def _neighbours(places: _Places, chosen: Numbers) -> Numbers:
    """Rows that stand near each, [rows, shifts]; -1 where none does."""
    order = np.argsort(places.line, kind="stable")
    known = places.line[order]
    line = places.line[chosen][:, None]
    wanted = line + np.array(SHIFTS)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    there = (line >= 0) & (known[at] == wanted) & (wanted >> _LINE_BITS == line >> _LINE_BITS)
    return np.where(there, order[at], -1)


def _by_shard(shards: Sequence[str], places: _Places, rows: Numbers) -> Iterator[tuple[str, Numbers, Numbers]]:
    """Of each shard that holds some of the rows: its name, the rows, and their places in it."""
    shard = np.searchsorted(places.starts, rows, side="right") - 1
    for number in np.unique(shard):
        mine = rows[shard == number]
        yield shards[number], mine, mine - places.starts[number]


def _texts(corpus: Artifact, shards: Sequence[str], places: _Places, rows: Numbers) -> Mapping[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for shard, mine, at in _by_shard(shards, places, rows):
        table = corpus.read_shard(shard, _COLUMNS).take(pa.array(at))
        found |= dict(zip(mine.tolist(), table.to_pylist(), strict=True))
    return found


def _hypotheses(nbest: Artifact, shards: Sequence[str], places: _Places, rows: Numbers) -> Mapping[int, str]:
    """The first hypothesis of each row: one that was chosen by its reference would be more like it than by chance."""
    found: dict[int, str] = {}
    for shard, mine, at in _by_shard(shards, places, np.sort(rows)):
        lists = nbest.read_shard(shard, ["hypotheses"]).column("hypotheses").take(pa.array(at)).combine_chunks()
        texts = pc.struct_field(pc.list_element(lists, 0), "text").to_pylist()
        found |= dict(zip(mine.tolist(), texts, strict=True))
    return found
