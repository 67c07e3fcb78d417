"""A made-up corpus and dataset of as many rows as wanted, in twenty language pairs: few shards, under many names."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.fixtures import FINGERPRINT, new_artifact, transformer_base
from data.artifact import MANIFEST, Artifact
from data.fingerprint import bytes_digest
from data.ids import row_id
from data.manifest import Manifest, ShardRecord, dump_manifest
from data.parquet import SUFFIX, encode
from stages.training.config import ModelConfig

SHARD_ROWS = 10_000
DIFFERENT = 10
LANGUAGES = ("cs", "da", "de", "el", "es", "et", "fi", "fr", "ga", "hu", "it", "lt", "lv", "mt", "nl", "pl", "pt", "ro",
             "sk", "sl")  # fmt: skip
SMALL = ModelConfig(encoder_layers=1, decoder_layers=1, width=32, heads=2, feed_forward=64)
WORDS = 2000


def made_up(folder: Path, rows: int) -> dict[str, Artifact]:
    """Inputs of the stage student: shards of 10,000 rows, of which ten are different and the others links to them."""
    base = transformer_base(folder, rows=10, model=SMALL, vocabulary=WORDS, target_length=8)
    shards = -(-rows // SHARD_ROWS)
    tables = [_rows(number) for number in range(min(DIFFERENT, shards))]
    counted = [Counter(table["target_language"].to_pylist()) for table in tables]
    per_language = {name: sum(counted[number % len(tables)][name] for number in range(shards)) for name in LANGUAGES}
    corpus = [table.drop_columns(["target_tokens"]) for table in tables]
    dataset = [table.drop_columns(["reference"]) for table in tables]
    made = {"corpus": _told_of_corpus(per_language), "dataset": _told_of_dataset(per_language)}
    return {
        **{name: base.artifacts[name] for name in ("tokenizer", "teacher")},
        "corpus": _linked(folder / "large", "corpus", corpus, shards, made["corpus"]),
        "dataset": _linked(folder / "large", "dataset", dataset, shards, made["dataset"]),
    }


def _rows(seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    lengths = np.clip(np.exp(random.normal(np.log(12), 0.5, (SHARD_ROWS, 2))), 2, 60).astype(int)
    words = [f"w{number}" for number in range(WORDS - 4)]
    ranks = [np.exp(random.random(total) * np.log(len(words))).astype(int) - 1 for total in lengths.sum(0)]
    sources, targets = (
        [[words[each] for each in row] for row in np.split(drawn, np.cumsum(of_side)[:-1])]
        for drawn, of_side in zip(ranks, lengths.T, strict=True)
    )
    texts = [" ".join(row) for row in sources]
    return pa.table(
        {
            "id": [row_id("en", "x", f"{seed} {text}") for text in texts],
            "source": texts,
            "reference": [" ".join(row) for row in targets],
            "target_tokens": targets,
            "source_language": ["en"] * SHARD_ROWS,
            "target_language": [LANGUAGES[each] for each in random.integers(0, len(LANGUAGES), SHARD_ROWS)],
        }
    )


def _told_of_corpus(rows: Mapping[str, int]) -> dict[str, Any]:
    return {
        "sources": {
            name: {
                "source_language": "en",
                "target_language": name,
                "kept": {"train": count, "valid": 0, "test": 0},
                "monolingual": {"train": 0, "valid": 0, "test": 0},
            }
            for name, count in rows.items()
        }
    }


def _told_of_dataset(rows: Mapping[str, int]) -> dict[str, Any]:
    return {"sources": {name: {"rows": count, "rejected": 0} for name, count in rows.items()}}


def _linked(folder: Path, node: str, tables: Sequence[pa.Table], shards: int, metrics: dict[str, Any]) -> Artifact:
    """As a stage leaves it, each table under several names."""
    place = new_artifact(folder, node).work_path()
    contents = [encode(table) for table in tables]
    records = []
    for number in range(shards):
        name, content = f"train-{number:05}", contents[number % len(contents)]
        first = place / f"train-{number % len(contents):05}{SUFFIX}"
        if number < len(contents):
            first.write_bytes(content)
        else:
            os.link(first, place / f"{name}{SUFFIX}")
        table = tables[number % len(tables)]
        records.append(
            ShardRecord(name=name, rows=table.num_rows, bytes=len(content), digest=bytes_digest(content), counters={})
        )
    manifest = Manifest(
        stage=node, version="bench", fingerprint=FINGERPRINT, config={}, inputs={}, libraries={}, shards=records,
        files=[], counters={}, metrics=metrics, created="", seconds=0.0,
    )  # fmt: skip
    (place / MANIFEST).write_bytes(dump_manifest(manifest))
    return new_artifact(folder, node)
