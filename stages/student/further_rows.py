"""Further distilled datasets, without the rows that hold a text of the recipe's own valid and test sentences.

Another recipe held out other rows, so its dataset may hold what this one's student is tested on. Texts are the same
where the corpus takes them to be: `data.ids.text_digest`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError
from data.ids import text_digest
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import directions_of
from stages.noise.reading import read_by
from stages.student.further_config import DatasetConfig

_PAIR = ("source", "reference")
_CLEAN = ("clean_source", "clean_reference")
_HELD_OUT = ("valid-", "test-")


@dataclass(frozen=True)
class FurtherDataset:
    """A dataset beside the recipe's own, and the places [n] of those rows of each shard that are left out."""

    name: str
    path: str
    artifact: Artifact
    left_out: Mapping[str, npt.NDArray[np.int64]]

    def read_shard(self, shard: str, columns: Sequence[str]) -> pa.Table:
        """All columns of the rows that stay; raises DataError as an artefact does."""
        table = self.artifact.read_shard(shard, columns)
        stays = np.ones(table.num_rows, dtype=bool)
        stays[self.left_out[shard]] = False
        return table if stays.all() else table.filter(pa.array(stays))

    def counts(self) -> dict[str, int]:
        """Its rows, those that stay, and those that are held out here."""
        rows = sum(shard.rows for shard in self.artifact.manifest().shards)
        held_out = sum(len(places) for places in self.left_out.values())
        return {"read": rows, "kept": rows - held_out, "held_out": held_out}


def further_datasets(datasets: Sequence[DatasetConfig], corpus: Artifact) -> list[FurtherDataset]:
    """The datasets as this corpus leaves them; each is read once, shard by shard.

    Of the corpus's valid and test rows digests are kept in memory, about 100 bytes a text. Raises DataError when a
    folder holds no dataset, or a dataset no row that may be trained on.
    """
    held_out = frozenset(_held_out(corpus)) if datasets else frozenset()
    return [_screened(one, held_out) for one in datasets]


def open_dataset(one: DatasetConfig) -> Artifact:
    """The artefact in a dataset's folder, whatever the folder is called; raises DataError when it is none."""
    manifest = one.content()
    return Artifact(str(one.manifest().parent), manifest.stage, manifest.fingerprint)


def _held_out(corpus: Artifact) -> Iterator[int]:
    for prefix in _HELD_OUT:
        for table in corpus.tables(prefix, (*_PAIR, *LANGUAGES)):
            for digests in _digests(table, _PAIR):
                yield from digests


def _screened(one: DatasetConfig, held_out: frozenset[int]) -> FurtherDataset:
    artifact = open_dataset(one)
    names = artifact.shard_names()
    if not names:
        raise DataError(f"{one.path} has no shards: there is nothing to train on")
    left_out = {name: _places(artifact, name, held_out) for name in names}
    found = FurtherDataset(one.name, one.path, artifact, left_out)
    if not found.counts()["kept"]:
        raise DataError(
            f"student.datasets: {one.name} ({one.path}) holds nothing to train on: all of its {found.counts()['read']} "
            "rows share a text with the valid or test rows of this recipe's corpus; expected others; leave it out"
        )
    return found


def _places(artifact: Artifact, shard: str, held_out: frozenset[int]) -> npt.NDArray[np.int64]:
    """Rows of a shard one of whose texts is held out, in whatever direction; what is learned is the target."""
    if not held_out:
        return np.empty(0, dtype=np.int64)
    # Noise may hide a text that is held out.
    clean = _CLEAN if read_by(artifact) == "teacher" else ()
    table = artifact.read_shard(shard, (*_PAIR, "target", *LANGUAGES, *clean))
    if clean:
        sources = pc.coalesce(table["clean_source"], table["source"])
        table = table.set_column(table.column_names.index("source"), "source", sources)
    rows = _digests(table, (*_PAIR, "target", *clean[1:]))
    return np.flatnonzero([not held_out.isdisjoint(digests) for digests in rows])


def _digests(table: pa.Table, names: Sequence[str]) -> Iterator[list[int]]:
    """Of each row's texts, as far as it has them; the first is in its source's language, the others in its target's."""
    columns = [table.column(name).to_pylist() for name in names]
    for direction, source, *others in zip(directions_of(table), *columns, strict=True):
        targets = {text for text in others if text is not None}
        yield [text_digest(direction.source, source), *(text_digest(direction.target, text) for text in targets)]
