"""What the store writes down of an artefact: a record a file, and the manifest that is written last."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

from data.errors import DataError
from data.fingerprint import DIGEST_BYTES, mapping_digest

# Of a training: how long all took. It is another in every run, and in no digest of content.
TIMINGS = "timings.jsonl"
_SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class ShardRecord(BaseModel):
    """A shard's name (without suffix), rows, size and BLAKE2b of its file, and the stage's counters."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int
    bytes: int
    digest: str
    counters: dict[str, int | float]


class WrittenShard(BaseModel):
    """What is kept of a whole shard until the manifest is there: its record, and a digest of each column's content.

    There are no such digests where a manifest was taken apart, which has none of single shards.
    """

    model_config = ConfigDict(frozen=True)

    record: ShardRecord
    columns: dict[str, str]


class FileRecord(BaseModel):
    """A file of a whole stage, its name relative to the artefact."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int
    digest: str


class Manifest(BaseModel):
    """All that is known of a finished artefact."""

    model_config = ConfigDict(frozen=True)

    stage: str
    version: str
    fingerprint: str
    config: dict[str, Any]
    inputs: dict[str, str]
    libraries: dict[str, str]
    shards: list[ShardRecord]
    files: list[FileRecord]
    # By split, such as train, and by column: a digest of the content in all shards of the split.
    columns: dict[str, dict[str, str]] = {}
    counters: dict[str, int | float]
    metrics: dict[str, Any]
    created: str
    seconds: float

    def content_digest(self) -> str:
        """Digest over names and digests of shards and files: equal content has equal digests, whenever it was made."""
        shards = {f"shard:{shard.name}": shard.digest for shard in self.shards}
        files = {f"file:{file.name}": file.digest for file in self.files if file.name != TIMINGS}
        return mapping_digest(shards | files)

    def columns_digest(self, columns: Mapping[str, Sequence[str]]) -> str:
        """The same over these columns of each split's shards: for who reads no more; raises DataError."""
        found: dict[str, str] = {}
        for split in {split_of(shard.name) for shard in self.shards} & columns.keys():
            known = self.columns.get(split, {})
            if missing := [name for name in columns[split] if name not in known]:
                raise DataError(
                    f"{self.stage}-{self.fingerprint}: no digest of column {', '.join(missing)} of the split {split} "
                    f"is in its manifest, which has {', '.join(known) or 'none'}; delete its folder and run again"
                )
            found |= {f"{split}:{name}": known[name] for name in columns[split]}
        return mapping_digest(found)


def parse_manifest(content: bytes, where: str) -> Manifest:
    """A manifest from its JSON; raises DataError when it is none or names a file outside its folder."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{where} is no manifest ({_first(error)}); delete it and run again") from error
    for shard in manifest.shards:
        check_shard_name(shard.name)
    for file in manifest.files:
        check_file_name(file.name)
    return manifest


def dump_manifest(manifest: Manifest) -> bytes:
    """A manifest as JSON; numbers of numpy become Python's. Raises DataError for what has no JSON."""
    try:
        return manifest.model_dump_json(indent=1, fallback=_plain).encode()
    except PydanticSerializationError as error:
        raise DataError(f"the manifest of {manifest.stage} holds what JSON cannot: {error}") from error


def parse_record(content: bytes) -> WrittenShard | None:
    """What is kept of a shard from its JSON; None when it is none, for then the shard is not finished."""
    try:
        written = WrittenShard.model_validate_json(content)
    except ValidationError:
        return None
    return written if _SHARD_NAME.fullmatch(written.record.name) else None


def split_of(shard: str) -> str:
    """`train-00000` -> `train`."""
    return shard.rpartition("-")[0]


class ColumnDigests:
    """Digests of columns over many shards, which are told one after the other in the order of their names."""

    def __init__(self) -> None:
        self._splits: dict[str, dict[str, Any]] = {}

    def add(self, shard: str, columns: Mapping[str, str]) -> None:
        """Takes the digests of one shard's columns."""
        states = self._splits.setdefault(split_of(shard), {})
        for name, digest in columns.items():
            states.setdefault(name, hashlib.blake2b(digest_size=DIGEST_BYTES)).update(f"{shard} {digest}\n".encode())

    def result(self) -> dict[str, dict[str, str]]:
        """By split and column."""
        return {
            split: {name: state.hexdigest() for name, state in states.items()} for split, states in self._splits.items()
        }


def check_shard_name(name: str) -> str:
    """The name, when it is letters, digits, `_`, `.`, `-` and does not begin with a dot; else DataError."""
    if not _SHARD_NAME.fullmatch(name):
        raise DataError(f"{name!r} is no name for a shard; expected letters, digits, '_', '-' and '.', as train-00000")
    return name


def check_file_name(name: str) -> str:
    """The name, when it is relative and stays below its folder; else DataError."""
    parts = name.split("/")
    unsafe = {"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or PurePosixPath(name).is_absolute()
    if unsafe:
        raise DataError(f"{name!r} is no name for a file of an artefact; expected a relative name without '..'")
    return name


def sum_counters(records: list[ShardRecord]) -> dict[str, int | float]:
    """Counters of all shards, added up by name."""
    total: dict[str, int | float] = {}
    for record in records:
        for name, value in record.counters.items():
            total[name] = total.get(name, 0) + value
    return dict(sorted(total.items()))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")


def _first(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
