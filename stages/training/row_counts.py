"""How many rows there are of each source and language pair to train on, as manifests tell it: none is read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.language_tags import Direction
from stages.languages.directions import COLUMNS
from stages.training.batches.copies import Worth
from stages.training.weights_config import ORIGIN

TRAIN = "train-"


class RowsOf(NamedTuple):
    """Rows that are of one source and one language pair, and those of them with a reference."""

    origin: str
    direction: Direction
    rows: int
    references: int


def corpus_rows(corpus: Artifact, split: Literal["train", "valid"] = "train", *, origins: bool = False) -> list[RowsOf]:
    """Of the corpus; counted where its manifest does not tell, of all sources together if not by `origins`."""
    told = [
        RowsOf(
            name,
            Direction(one["source_language"], one["target_language"]),
            one["kept"][split],
            one["kept"][split] - one["monolingual"][split],
        )
        for name, one in corpus.manifest().metrics.get("sources", {}).items()
    ]
    names = (*COLUMNS, "reference", *((ORIGIN,) if origins else ()))
    return told if _add_up(told, corpus, f"{split}-") else _counted(corpus, f"{split}-", names)


def dataset_rows(dataset: Artifact, corpus: Artifact, *, origins: bool = False) -> list[RowsOf]:
    """Of the dataset that was made of this corpus; likewise."""
    sources = dataset.manifest().metrics.get("sources", {})
    directions = {one.origin: one.direction for one in corpus_rows(corpus)} if sources else {}
    told = [RowsOf(name, directions[name], one["rows"], 0) for name, one in sources.items() if name in directions]
    names = (*COLUMNS, *((ORIGIN,) if origins else ()))
    return told if _add_up(told, dataset, "") else _counted(dataset, "", names)


def pair_rows(dataset: Artifact) -> dict[Direction, int]:
    """Of any distilled dataset, by pair; likewise."""
    told = dataset.manifest().metrics.get("languages", [])
    rows = [RowsOf("", Direction(one["source"], one["target"]), one["rows"], 0) for one in told]
    return by_direction(rows if _add_up(rows, dataset, "") else _counted(dataset, "", COLUMNS))


def by_direction(found: Sequence[RowsOf], *, references: bool = False) -> dict[Direction, int]:
    """Rows of each pair, or those with a reference; pairs without any are left out."""
    rows: Counter[Direction] = Counter()
    for one in found:
        rows[one.direction] += one.references if references else one.rows
    return {direction: count for direction, count in sorted(rows.items()) if count}


def weighed(
    found: Sequence[RowsOf], weights: Mapping[str, float], *, references: bool = False
) -> dict[Direction, float]:
    """The same, each row as often as its source's weight says."""
    rows: dict[Direction, float] = {}
    for one in found:
        count = (one.references if references else one.rows) * weights.get(one.origin, 1.0)
        rows[one.direction] = rows.get(one.direction, 0.0) + count
    return {direction: count for direction, count in sorted(rows.items()) if count}


def by_origin(found: Sequence[RowsOf], weights: Mapping[str, float]) -> Worth | None:
    """How often rows of each source are drawn; None where all are drawn once."""
    if not weights:
        return None
    return Worth((ORIGIN,), {(origin,): weights.get(origin, 1.0) for origin in sorted({one.origin for one in found})})


def _add_up(told: Sequence[RowsOf], artifact: Artifact, prefix: str) -> bool:
    """Whether as many rows are told of as there are."""
    there = sum(shard.rows for shard in artifact.manifest().shards if shard.name.startswith(prefix))
    return bool(told) and sum(one.rows for one in told) == there


def _counted(artifact: Artifact, prefix: str, names: Sequence[str]) -> list[RowsOf]:
    """By these columns, of which no more than the languages need be."""
    found: Counter[tuple[str, Direction, bool]] = Counter()
    for table in artifact.tables(prefix, names):
        has = (
            pc.is_valid(table["reference"]) if "reference" in names else pa.array([False] * table.num_rows, pa.bool_())
        )
        keys = [name for name in names if name != "reference"]
        groups = table.select(keys).append_column("has", has).group_by([*keys, "has"])
        for row in groups.aggregate([([], "count_all")]).to_pylist():
            direction = Direction(*(row[name] for name in COLUMNS))
            found[row.get(ORIGIN, ""), direction, row["has"]] += row["count_all"]
    return [
        RowsOf(*key, found[*key, True] + found[*key, False], found[*key, True])
        for key in sorted({(origin, direction) for origin, direction, _ in found})
    ]
