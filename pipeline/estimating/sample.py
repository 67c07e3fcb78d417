"""A small corpus, drawn at random from the real one, in a store of its own: what the trial runs work on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import DataError
from data.manifest import split_of
from data.store import Artifact, Store
from pipeline.planning.plan import Planner, Step, open_digest_cache

SPLITS = ("train", "valid", "test")
# Rows are drawn from so many shards at most: a billion rows are not read for a sample of thousands.
_SHARDS_READ = 8


@dataclass(frozen=True)
class Sample:
    """A corpus of a few rows, complete, and the planner of the store in which it lies."""

    planner: Planner
    corpus: Step
    # By split, and of each shard of the train split.
    rows: Mapping[str, int]
    shards: Mapping[str, int]


def count_rows(corpus: Artifact) -> dict[str, int]:
    """Rows of each split."""
    counts = Counter[str]()
    for shard in corpus.manifest().shards:
        counts[split_of(shard.name)] += shard.rows
    return {split: counts[split] for split in SPLITS}


def draw(step: Step, wanted: Mapping[str, int], seed: int) -> dict[str, pa.Table]:
    """So many rows of each split, or all where it has fewer, at random; equal arguments give equal rows.

    Shards are chosen first, at most eight of a split: those of the stage corpus are random samples themselves.
    Raises DataError when there is no row to train on.
    """
    corpus = _artifact(step)
    tables = {split: _draw_split(corpus, split, count, seed) for split, count in wanted.items()}
    drawn = {split: table for split, table in tables.items() if table is not None}
    if "train" not in drawn:
        raise DataError(f"{corpus.url}: its train split is empty, so there is nothing to estimate from")
    return drawn


def write_sample(store: Store, corpus: Step, tables: Mapping[str, pa.Table], pieces: int) -> Sample:
    """Leaves the corpus's artefact in the store, its train split in `pieces` shards of equal mixtures of lengths."""
    parts = {
        f"{split}-{number:05}": part
        for split, table in tables.items()
        for number, part in enumerate(_dealt(table, min(pieces, table.num_rows)) if split == "train" else [table])
    }
    step = _write(store, corpus, parts.items(), _metrics(_artifact(corpus).manifest().metrics, tables))
    rows = {split: tables[split].num_rows if split in tables else 0 for split in SPLITS}
    made = _artifact(step).manifest().shards
    shards = {shard.name: shard.rows for shard in made if split_of(shard.name) == "train"}
    return Sample(Planner(store, open_digest_cache()), step, rows, shards)


def repeat(store: Store, step: Step, times: int) -> Step:
    """Leaves a step's artefact in the store with every row of its train split so many times: shards, and no files."""
    artifact = _artifact(step)
    shards = (
        (name, pa.concat_tables([artifact.read_shard(name)] * (times if split_of(name) == "train" else 1)))
        for name in artifact.shard_names()
    )
    return _write(store, step, shards, artifact.manifest().metrics)


def _write(store: Store, step: Step, shards: Iterable[tuple[str, pa.Table]], metrics: dict[str, Any]) -> Step:
    """The step with other shards, in the store."""
    manifest = _artifact(step).manifest()
    copy = store.artifact(step.node.name, _artifact(step).fingerprint)
    for name, table in shards:
        copy.write_shard(name, table)
    made = copy.complete(
        stage=manifest.stage,
        version=manifest.version,
        config=manifest.config,
        inputs=manifest.inputs,
        libraries=manifest.libraries,
        metrics=metrics,
    )
    return Step(step.node, "done", step.identity, copy, content=made.content_digest())


def _artifact(step: Step) -> Artifact:
    if step.artifact is None:
        raise ValueError(f"{step.node.name} is not done")
    return step.artifact


def _draw_split(corpus: Artifact, split: str, count: int, seed: int) -> pa.Table | None:
    names = corpus.shard_names(f"{split}-")
    rows = {shard.name: shard.rows for shard in corpus.manifest().shards}
    if sum(rows[name] for name in names) > count:
        names = [names[place] for place in np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(names))]
        names = names[: max(_SHARDS_READ, _needed([rows[name] for name in names], count))]
    if not names or not count:
        return None
    pool = pa.concat_tables([corpus.read_shard(name) for name in names]).combine_chunks()
    chosen = np.random.default_rng([seed, SPLITS.index(split)]).permutation(pool.num_rows)[:count]
    return pool.take(pa.array(chosen)) if pool.num_rows else None


def _needed(rows: Sequence[int], count: int) -> int:
    """How many of the first shards have `count` rows together."""
    return int(np.searchsorted(np.cumsum(rows), count)) + 1


def _dealt(table: pa.Table, pieces: int) -> list[pa.Table]:
    """Rows dealt round by length, so that no shard has more of the long ones; each shard's in their old order."""
    if "source" in table.column_names:
        order = np.argsort(pc.utf8_length(table.column("source")).to_numpy(), kind="stable")
    else:
        order = np.arange(table.num_rows)
    return [table.take(pa.array(np.sort(order[piece::pieces]))) for piece in range(pieces)]


def _metrics(metrics: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Those of the real corpus, but what was kept of each source is counted anew: the dataset checks that."""
    if not isinstance(metrics.get("sources"), dict):
        return dict(metrics)
    kept = {split: Counter[str](table.column("origin").to_pylist()) for split, table in tables.items()}
    sources = {
        name: {**source, "kept": {split: kept.get(split, Counter())[name] for split in SPLITS}}
        for name, source in metrics["sources"].items()
    }
    return {**metrics, "sources": sources}
