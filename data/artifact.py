"""One artefact: the folder in which a node leaves its shards and files, complete when its manifest is there."""

import datetime
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import DataError
from data.fingerprint import bytes_digest, is_hidden
from data.folder import LocalFolder, RemoteFolder, known_digest, open_folder
from data.local import storage_faults, sync, write_atomically
from data.manifest import (
    FileRecord,
    Manifest,
    ShardRecord,
    check_file_name,
    check_shard_name,
    parse_manifest,
    parse_record,
    sum_counters,
)
from data.parquet import SUFFIX, decode, encode

MANIFEST = "manifest.json"
RECORDS = ".records"


class Artifact:
    """One folder `<node>-<fingerprint>` of a store. Can be pickled; holds no open file.

    Layout: `<shard>.parquet`, files of whole stages under their own names, `manifest.json`. Until it is
    complete, `.records/<shard>.parquet.json` tells which shards are whole. Names that begin with a dot are
    a stage's scratch: they survive a kill, are never recorded, and go when the artefact is complete.
    """

    def __init__(
        self,
        url: str,
        node: str,
        fingerprint: str,
        storage_options: dict[str, Any] | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        self._folder = open_folder(url, storage_options)
        self.url = self._folder.url
        self.node = node
        self.fingerprint = fingerprint
        self.storage_options = storage_options
        self._cache_folder = cache_folder

    def __repr__(self) -> str:
        return f"Artifact({self.url})"

    # Reading.

    def manifest(self) -> Manifest:
        """What is known of it; raises DataError when it is not complete."""
        if self._folder.stamp(MANIFEST) is None:
            raise DataError(f"{self.url} is not complete: it has no {MANIFEST}; run the stage {self.node} first")
        return parse_manifest(self._folder.read(MANIFEST), f"{self.url}/{MANIFEST}")

    def is_complete(self) -> bool:
        """Whether the manifest is there, and all that it names; content is checked when it is read."""
        if self._folder.stamp(MANIFEST) is None:
            return False
        manifest = self.manifest()
        named = {shard.name + SUFFIX for shard in manifest.shards} | {file.name for file in manifest.files}
        return named <= set(self._folder.names())

    def shard_names(self, prefix: str = "") -> list[str]:
        """Names of the shards that begin with `prefix`, sorted, without suffix; raises DataError when not complete."""
        return sorted(shard.name for shard in self.manifest().shards if shard.name.startswith(prefix))

    def read_shard(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A shard's table, or the `columns` of it; the digest is verified once a process.

        Raises DataError naming the shard when it is not there, is not what the manifest says, or lacks a column.
        """
        return self._read(_shard_record(self.manifest(), name, self.url), columns)

    def tables(self, prefix: str = "", columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Table by table, in the order of `shard_names`; raises as `read_shard` does."""
        records = {shard.name: shard for shard in self.manifest().shards}
        for name in sorted(records):
            if name.startswith(prefix):
                yield self._read(records[name], columns)

    def path(self) -> Path:
        """A local folder with the files of a whole stage, digests verified once a process; raises DataError.

        Of a remote store they are downloaded first, once a machine.
        """
        manifest = self.manifest()
        if isinstance(self._folder, LocalFolder):
            for record in manifest.files:
                self._check(record.name, record.digest)
            return self._folder.root
        cache = LocalFolder(self._cache() / "files")
        for record in manifest.files:
            if cache.stamp(record.name) is None or known_digest(cache, record.name) != record.digest:
                self._check(record.name, record.digest)
                write_atomically(cache.root / record.name, self._folder.read(record.name))
        return cache.root

    def verify(self) -> list[str]:
        """Reads every file of a complete artefact again; returns what differs from the manifest, a line each."""
        manifest = self.manifest()
        digests = {shard.name + SUFFIX: shard.digest for shard in manifest.shards}
        digests |= {file.name: file.digest for file in manifest.files}
        faults = []
        for name, expected in sorted(digests.items()):
            if self._folder.stamp(name) is None:
                faults.append(f"{self.url}/{name}: not there; run again to make it anew")
            elif (found := self._folder.digest(name)) != expected:
                faults.append(f"{self.url}/{name}: {_differs(found, expected)}")
        return faults

    # Writing.

    def write_shard(self, name: str, table: pa.Table, counters: Mapping[str, int | float] | None = None) -> ShardRecord:
        """Writes a whole shard or none, and then its record; raises PotstillError when the disk is full."""
        self._reopen()
        content = encode(table)
        record = ShardRecord(
            name=check_shard_name(name),
            rows=table.num_rows,
            bytes=len(content),
            digest=bytes_digest(content),
            counters=dict(counters or {}),
        )
        self._folder.write(name + SUFFIX, content)
        self._write_record(record)
        return record

    def finished_shards(self) -> dict[str, ShardRecord]:
        """Records of all shards that are whole, their digests verified. Call it before shards are written anew."""
        self._reopen()
        records = self.manifest().shards if self._folder.stamp(MANIFEST) else self._records()
        return {record.name: record for record in records if self._is_whole(record)}

    def work_path(self) -> Path:
        """The local folder in which a whole stage writes its files. What is in it survives a kill."""
        self._reopen()
        place = self._work()
        with storage_faults(place):
            place.mkdir(parents=True, exist_ok=True)
        return place

    def complete(
        self,
        *,
        stage: str,
        version: str,
        config: dict[str, Any],
        inputs: dict[str, str],
        libraries: dict[str, str],
        metrics: dict[str, Any] | None = None,
        seconds: float = 0.0,
    ) -> Manifest:
        """Records all files and shards, writes the manifest, and removes what was needed only until then.

        Raises DataError when a recorded shard is not there any more, PotstillError when the disk is full.
        """
        shards = sorted(self._records(), key=lambda record: record.name)
        if lost := [record.name for record in shards if self._folder.stamp(record.name + SUFFIX) is None]:
            raise DataError(f"{self.url} lost the shard while others were written; run again", shard=lost[0])
        manifest = Manifest(
            stage=stage,
            version=version,
            fingerprint=self.fingerprint,
            config=config,
            inputs=inputs,
            libraries=libraries,
            shards=shards,
            files=self._take_files({record.name + SUFFIX for record in shards}),
            counters=sum_counters(shards),
            metrics=metrics or {},
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=seconds,
        )
        self._folder.write(MANIFEST, manifest.model_dump_json(indent=1).encode())
        self._clear_scratch()
        return manifest

    # Inside.

    def _read(self, record: ShardRecord, columns: Sequence[str] | None) -> pa.Table:
        name = record.name + SUFFIX
        self._check(name, record.digest)
        return decode(self._folder.open(name), columns, f"{self.url}/{name}")

    def _check(self, name: str, expected: str) -> None:
        where = f"{self.url}/{name}"
        if self._folder.stamp(name) is None:
            raise DataError("is not there, though the manifest names it; run again to make it anew", shard=where)
        if (found := known_digest(self._folder, name)) != expected:
            raise DataError(_differs(found, expected), shard=where)

    def _records(self) -> list[ShardRecord]:
        names = [name for name in self._folder.names() if name.startswith(f"{RECORDS}/") and name.endswith(".json")]
        found = [(name, parse_record(self._folder.read(name))) for name in names]
        return [record for name, record in found if record and name == _record_name(record.name)]

    def _write_record(self, record: ShardRecord) -> None:
        self._folder.write(_record_name(record.name), record.model_dump_json().encode())

    def _is_whole(self, record: ShardRecord) -> bool:
        name = record.name + SUFFIX
        return self._folder.stamp(name) is not None and known_digest(self._folder, name) == record.digest

    def _reopen(self) -> None:
        """Takes a manifest apart that names what is gone, so that only this has to be made again."""
        if self._folder.stamp(MANIFEST) is None or self.is_complete():
            return
        for record in self.manifest().shards:
            if self._folder.stamp(record.name + SUFFIX) is not None:
                self._write_record(record)
        self._folder.remove(MANIFEST)

    def _take_files(self, shards: set[str]) -> list[FileRecord]:
        work = LocalFolder(self._work())
        records = []
        for name in work.names():
            if is_hidden(name) or name in shards or name == MANIFEST:
                continue
            path = work.root / check_file_name(name)
            records.append(FileRecord(name=name, bytes=path.stat().st_size, digest=work.digest(name)))
            if isinstance(self._folder, RemoteFolder):
                self._folder.write(name, path.read_bytes())
            else:
                sync(path)
                sync(path.parent)
        return records

    def _clear_scratch(self) -> None:
        for name in self._folder.names():
            if is_hidden(name):
                self._folder.remove(name)
        if isinstance(self._folder, RemoteFolder):
            shutil.rmtree(self._work(), ignore_errors=True)

    def _work(self) -> Path:
        return self._folder.root if isinstance(self._folder, LocalFolder) else self._cache() / "work"

    def _cache(self) -> Path:
        base = self._cache_folder or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "potstill"
        return base / hashlib.blake2b(self.url.encode(), digest_size=16).hexdigest()


def _record_name(shard: str) -> str:
    return f"{RECORDS}/{shard}{SUFFIX}.json"


def _shard_record(manifest: Manifest, name: str, url: str) -> ShardRecord:
    for shard in manifest.shards:
        if shard.name == name:
            return shard
    raise DataError(f"{url} has no such shard; it has {len(manifest.shards)}", shard=name)


def _differs(found: str, expected: str) -> str:
    return (
        f"is damaged or was altered: found digest {found}, expected {expected}; "
        "delete this file, or the whole folder, and run again"
    )
