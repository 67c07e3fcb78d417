"""A corpus of a few rows, and files of translations in every form that is read."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data import schema
from data.artifact import Artifact
from data.ids import normalise, row_id
from data.runtime import Runtime
from stages.given import join
from tests.fixtures.artifacts import artifact_of_tables, new_artifact

FROM, TO = "es", "ca"
FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


def row(source: str, *, split: str = "train", target: str = TO, again: int = 0) -> dict[str, Any]:
    """A row of a corpus, with its true id."""
    return {
        "id": row_id(FROM, target, normalise(source), again),
        "source": source,
        "reference": None,
        "source_language": FROM,
        "target_language": target,
        "origin": "made-up",
        "location": "here",
        "split": split,
    }


def corpus(folder: Path, shards: Mapping[str, Sequence[dict[str, Any]]]) -> Artifact:
    """The artefact with these rows."""
    tables = {name: pa.Table.from_pylist(list(rows), schema.PAIRS) for name, rows in shards.items()}
    return artifact_of_tables(folder / "store", "corpus", tables)


def write(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """The records, in the form that the file's name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(record) for record in records]), path)
        return path
    if ".tsv" in path.suffixes:
        names = list(records[0])
        lines = ["\t".join(names), *("\t".join(str(record[name]) for name in names) for record in records)]
    else:
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
    content = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zst":
        content = bytes(pa.compress(content, "zstd", asbytes=True))
    path.write_bytes(content)
    return path


def joined(texts: Artifact, path: Path | str, **options: Any) -> tuple[Artifact, dict[str, Any]]:
    """What the stage leaves of a file, and what it counts."""
    folder = Path(texts.url).parent
    output = new_artifact(folder, "given")
    config = join.Config(path=str(path), **options)
    metrics = join.run({"corpus": texts}, config, output, Runtime())
    output.complete(stage="given", version="1", config={}, inputs={}, libraries={}, metrics=metrics)
    return output, metrics


def texts_of(given: Artifact, split: str = "train") -> dict[str, list[str]]:
    """Translations by id."""
    tables = list(given.tables(f"{split}-"))
    return {one["id"]: one["texts"] for table in tables for one in table.to_pylist()}
