"""Further distilled datasets, without the rows that hold a text of the recipe's own valid and test sentences.

Another recipe held out other rows, so its dataset may hold what this one's student is tested on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.artifact import Artifact
from data.errors import DataError
from data.language_tags import Direction
from stages.languages.directions import directions_of
from stages.student.further_config import DatasetConfig
from stages.student.screening import screened
from stages.training.row_counts import pair_rows


@dataclass(frozen=True)
class FurtherDataset:
    """A dataset beside the recipe's own, and the places [n] of those rows of each shard that are left out."""

    name: str
    path: str
    artifact: Artifact
    left_out: Mapping[str, npt.NDArray[np.int64]]
    # How many of each language pair.
    left_out_of: Mapping[Direction, int]

    def read_shard(self, shard: str, columns: Sequence[str]) -> pa.Table:
        """All columns of the rows that stay; raises DataError as an artefact does."""
        table = self.artifact.read_shard(shard, columns)
        if shard not in self.left_out:
            return table
        stays = np.ones(table.num_rows, dtype=bool)
        stays[self.left_out[shard]] = False
        return table.filter(pa.array(stays))

    def counts(self) -> dict[str, int]:
        """Its rows, those that stay, and those that are held out here."""
        rows = sum(shard.rows for shard in self.artifact.manifest().shards)
        held_out = sum(len(places) for places in self.left_out.values())
        return {"read": rows, "kept": rows - held_out, "held_out": held_out}

    def rows(self) -> dict[Direction, int]:
        """Those that stay of each language pair."""
        stay = {pair: count - self.left_out_of.get(pair, 0) for pair, count in pair_rows(self.artifact).items()}
        return {pair: count for pair, count in stay.items() if count}


def further_datasets(datasets: Sequence[DatasetConfig], corpus: Artifact) -> list[FurtherDataset]:
    """The datasets as this corpus leaves them.

    Raises DataError when a folder holds no dataset, or a dataset no row that may be trained on.
    """
    return [_screened(one, corpus) for one in datasets]


def open_dataset(one: DatasetConfig) -> Artifact:
    """The artefact in a dataset's folder, whatever the folder is called; raises DataError when it is none."""
    manifest = one.content()
    return Artifact(str(one.manifest().parent), manifest.stage, manifest.fingerprint)


def _screened(one: DatasetConfig, corpus: Artifact) -> FurtherDataset:
    artifact = open_dataset(one)
    if not artifact.shard_names():
        raise DataError(f"{one.path} has no shards: there is nothing to train on")
    table = screened(artifact, corpus)
    shards, rows = np.array(table["shard"].to_pylist(), dtype=object), table["row"].to_numpy()
    left_out = {name: rows[shards == name] for name in dict.fromkeys(shards)}
    found = FurtherDataset(one.name, one.path, artifact, left_out, Counter(directions_of(table)))
    if not found.counts()["kept"]:
        raise DataError(
            f"student.datasets: {one.name} ({one.path}) holds nothing to train on: all of its {found.counts()['read']} "
            "rows share a text with the valid or test rows of this recipe's corpus; expected others; leave it out"
        )
    return found
