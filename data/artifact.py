"""One artefact: the folder in which a node leaves its shards and files, complete when its manifest is there."""

import datetime
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import DataError
from data.fingerprint import bytes_digest, is_hidden
from data.folder import Folder, LocalFolder, RemoteFolder, known_digest, open_folder
from data.local import storage_faults, user_cache
from data.manifest import (
    ColumnDigests,
    FileRecord,
    Manifest,
    ShardRecord,
    WrittenShard,
    check_file_name,
    check_shard_name,
    dump_manifest,
    parse_manifest,
    parse_record,
    sum_counters,
)
from data.parquet import SUFFIX, column_digests, decode, encode

MANIFEST = "manifest.json"
RECORDS = ".records"
_SECONDS = ".seconds"


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
        # What was written through this object, by name, with its digest.
        self._written: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Artifact({self.url})"

    # Reading.

    def manifest(self) -> Manifest:
        """What is known of it; raises DataError when it is not complete."""
        return _manifest_at(self._folder, self._stamp())

    def is_complete(self) -> bool:
        """Whether the manifest is there, and all that it names; what is in them is checked on reading."""
        if self._folder.stamp(MANIFEST) is None:
            return False
        return {name for name, _ in _files(self.manifest())} <= set(self._folder.names())

    def was_completed(self) -> bool:
        """Whether it has a manifest, be all that this names there still or not."""
        return self._folder.stamp(MANIFEST) is not None

    def shard_names(self, prefix: str = "") -> list[str]:
        """Names of the shards that begin with `prefix`, sorted, without suffix; raises DataError when not complete."""
        return sorted(shard.name for shard in self.manifest().shards if shard.name.startswith(prefix))

    def read_shard(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A shard's table, or the `columns` of it; its digest is verified once a process.

        Raises DataError naming the shard when it is not there, is not what the manifest says, or lacks a column.
        """
        known = self._shards()
        if name not in known:
            raise DataError(f"{self.url} has no such shard among its {len(known)}", shard=name)
        record = known[name]
        file = record.name + SUFFIX
        self._check(file, record)
        return decode(self._folder.open(file), columns, f"{self.url}/{file}")

    def tables(self, prefix: str = "", columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Table by table, in the order of `shard_names`; raises as `read_shard` does."""
        for name in self.shard_names(prefix):
            yield self.read_shard(name, columns)

    def path(self) -> Path:
        """A local folder with the files of a whole stage, digests verified once a process; raises DataError.

        Those of a remote store are downloaded first, once a machine.
        """
        files = self.manifest().files
        if isinstance(self._folder, RemoteFolder):
            return self._downloaded(self._folder, files)
        for record in files:
            self._check(record.name, record)
        return self._folder.root

    def verify(self) -> list[str]:
        """Reads every file of a complete artefact again; returns what differs from the manifest, a line each."""
        faults = []
        for name, record in _files(self.manifest()):
            if self._folder.stamp(name) is None:
                faults.append(f"{self.url}/{name}: is not there; run again to make it anew")
            elif (found := self._folder.digest(name)) != record.digest:
                faults.append(f"{self.url}/{name}: {self._differs(name, found, record)}")
        return faults

    # Writing.

    def write_shard(self, name: str, table: pa.Table, counters: Mapping[str, int | float] | None = None) -> ShardRecord:
        """Writes a whole shard or none, and then its record.

        Raises PotstillError when the disk is full, DataError when the artefact is complete already.
        """
        self._open_for_writing()
        content = encode(table)
        record = ShardRecord(
            name=check_shard_name(name),
            rows=table.num_rows,
            bytes=len(content),
            digest=bytes_digest(content),
            counters=dict(counters or {}),
        )
        self._folder.write(name + SUFFIX, content)
        self._write_record(WrittenShard(record=record, columns=column_digests(table)))
        self._written[name] = record.digest
        return record

    def reopen(self) -> None:
        """Takes a manifest apart that names what is gone, so that only this has to be made again.

        Call it once before many processes write shards: all that writes does it, but not for others.
        """
        if self._folder.stamp(MANIFEST) is None or self.is_complete():
            return
        manifest = self.manifest()
        for record in manifest.shards:
            if self._folder.stamp(record.name + SUFFIX) is not None:
                self._write_record(WrittenShard(record=record, columns={}))
        self.keep_seconds(manifest.seconds)
        self._folder.remove(MANIFEST)

    def finished_shards(self) -> dict[str, ShardRecord]:
        """Records of all shards that are whole, their digests verified. Changes nothing, so that a plan may ask."""
        if self._folder.stamp(MANIFEST) is None:
            records = [written.record for written in self._records()]
        else:
            records = self.manifest().shards
        whole = [record for record in records if known_digest(self._folder, record.name + SUFFIX) == record.digest]
        return {record.name: record for record in whole}

    def discard_shards(self) -> None:
        """Removes all shards, recorded or not, for a whole stage that starts anew; raises DataError when complete."""
        self._open_for_writing()
        self._written.clear()
        for name in self._folder.names():
            if name.startswith(f"{RECORDS}/") or (name.endswith(SUFFIX) and "/" not in name):
                self._folder.remove(name)

    def work_path(self) -> Path:
        """The local folder in which a whole stage writes its files. What is in it survives a kill."""
        self.reopen()
        place = self._work()
        with storage_faults(place):
            place.mkdir(parents=True, exist_ok=True)
        return place

    def earlier_seconds(self) -> float:
        """What calls that were cut short spent on it, as far as they wrote it down."""
        try:
            return float(self._folder.read(_SECONDS)) if self._folder.stamp(_SECONDS) else 0.0
        except ValueError:
            return 0.0

    def keep_seconds(self, seconds: float) -> None:
        """Writes down what was spent so far; gone when the artefact is complete, whose manifest has it."""
        self._folder.write(_SECONDS, str(round(seconds, 3)).encode())

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
        expected: Collection[str] = (),
    ) -> Manifest:
        """Records all files and shards, writes the manifest, and removes what was needed only until then.

        `expected`: names of shards that others wrote and that must be there; those that were written through this
        object must be anyway. Of a complete artefact it returns the manifest that is there: a task that is tried
        again may call it twice. Raises DataError when a shard is not there, PotstillError when the disk is full.
        """
        self.reopen()
        if self._folder.stamp(MANIFEST) is not None:
            return self.manifest()
        shards, columns = self._recorded()
        self._check_whole(shards, expected)
        manifest = Manifest(
            stage=stage,
            version=version,
            fingerprint=self.fingerprint,
            config=config,
            inputs=inputs,
            libraries=libraries,
            shards=shards,
            files=self._take_files({record.name + SUFFIX for record in shards}),
            columns=columns,
            counters=sum_counters(shards),
            metrics=metrics or {},
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=seconds,
        )
        self._folder.write(MANIFEST, dump_manifest(manifest))
        self._folder.remove_hidden()
        if isinstance(self._folder, RemoteFolder):
            shutil.rmtree(self._work(), ignore_errors=True)
        return self.manifest()

    # Inside.

    def _check_whole(self, shards: Sequence[ShardRecord], expected: Collection[str]) -> None:
        """Raises DataError when a shard is not there, or not the one that was written through this object."""
        there = {shard.name: shard.digest for shard in shards if self._folder.stamp(shard.name + SUFFIX) is not None}
        wanted = {*expected, *self._written, *(shard.name for shard in shards)}
        lost = sorted(name for name in wanted if there.get(name) != self._written.get(name, there.get(name, "")))
        if lost:
            more = f" and {len(lost) - 8} more" if len(lost) > 8 else ""
            raise DataError(
                f"vanished from {self.url}, or was replaced, before all was there; another run may be writing there: "
                "stop one of them and run again",
                shard=", ".join(lost[:8]) + more,
            )

    def _stamp(self) -> str:
        stamp = self._folder.stamp(MANIFEST)
        if stamp is None:
            raise DataError(f"{self.url} is not complete: it has no {MANIFEST}; run the stage {self.node} first")
        return stamp

    def _shards(self) -> dict[str, ShardRecord]:
        return _shards_at(self._folder, self._stamp())

    def _check(self, name: str, record: ShardRecord | FileRecord) -> None:
        where, found = f"{self.url}/{name}", known_digest(self._folder, name)
        if found is None:
            raise DataError("is not there, though the manifest names it; run again to make it anew", shard=where)
        if found != record.digest:
            raise DataError(self._differs(name, found, record), shard=where)

    def _differs(self, name: str, found: str, record: ShardRecord | FileRecord) -> str:
        return (
            f"is damaged or was altered: found {self._folder.size(name)} bytes with digest {found}, expected "
            f"{record.bytes} bytes with digest {record.digest}; delete this file, or its whole folder, and run again"
        )

    def _records(self) -> Iterator[WrittenShard]:
        """In the order of their names. One by one: the columns of a hundred thousand shards are not kept in memory."""
        for name in self._folder.names():
            if name.startswith(f"{RECORDS}/") and name.endswith(".json"):
                written = self._record(name)
                if written and name == _record_name(written.record.name):
                    yield written

    def _record(self, name: str) -> WrittenShard | None:
        try:
            return parse_record(self._folder.read(name))
        except DataError:
            # A run that completes the artefact while another process looks at it removes them.
            if self._folder.stamp(name) is None:
                return None
            raise

    def _write_record(self, written: WrittenShard) -> None:
        self._folder.write(_record_name(written.record.name), written.model_dump_json().encode())

    def _recorded(self) -> tuple[list[ShardRecord], dict[str, dict[str, str]]]:
        """Records of all shards, sorted by name, and the digests of their columns."""
        digests = ColumnDigests()
        records: list[ShardRecord] = []
        for written in self._records():
            record = written.record
            records.append(record)
            file = record.name + SUFFIX
            if not written.columns and self._folder.stamp(file) is not None:
                table = decode(self._folder.open(file), None, f"{self.url}/{file}")
                written = written.model_copy(update={"columns": column_digests(table)})
            digests.add(record.name, written.columns)
        return sorted(records, key=lambda record: record.name), digests.result()

    def _open_for_writing(self) -> None:
        self.reopen()
        if self._folder.stamp(MANIFEST) is not None:
            raise DataError(f"{self.url} is complete and is not written to; delete it to make it anew")

    def _take_files(self, shards: set[str]) -> list[FileRecord]:
        work = LocalFolder(self._work())
        names = [name for name in work.names() if not is_hidden(name) and name not in shards]
        if isinstance(self._folder, RemoteFolder):
            for name in names:
                self._folder.upload(work.root / name, name)
        elif names:
            work.flush(names)
        return [
            FileRecord(name=check_file_name(name), bytes=work.size(name), digest=work.digest(name)) for name in names
        ]

    def _downloaded(self, folder: RemoteFolder, files: list[FileRecord]) -> Path:
        copy = LocalFolder(self._cache() / "files")
        for record in files:
            if known_digest(copy, record.name) == record.digest:
                continue
            if folder.stamp(record.name) is None:
                self._check(record.name, record)
            folder.download(record.name, copy.root / record.name)
            if known_digest(copy, record.name) != record.digest:
                copy.remove(record.name)
                self._check(record.name, record)
                raise DataError("did not arrive whole; run again", shard=f"{self.url}/{record.name}")
        return copy.root

    def _work(self) -> Path:
        return self._folder.root if isinstance(self._folder, LocalFolder) else self._cache() / "work"

    def _cache(self) -> Path:
        return (self._cache_folder or user_cache()) / bytes_digest(self.url.encode())[:32]


def _record_name(shard: str) -> str:
    return f"{RECORDS}/{shard}{SUFFIX}.json"


def _files(manifest: Manifest) -> list[tuple[str, ShardRecord | FileRecord]]:
    """All that a manifest names, by name of file."""
    shards: list[tuple[str, ShardRecord | FileRecord]] = [(shard.name + SUFFIX, shard) for shard in manifest.shards]
    return sorted(shards + [(file.name, file) for file in manifest.files], key=lambda pair: pair[0])


@lru_cache(maxsize=64)
def _shards_at(folder: Folder, stamp: str) -> dict[str, ShardRecord]:
    """By name: of a hundred thousand shards, one is not looked for in a row."""
    return {shard.name: shard for shard in _manifest_at(folder, stamp).shards}


@lru_cache(maxsize=64)
def _manifest_at(folder: Folder, stamp: str) -> Manifest:
    return parse_manifest(folder.read(MANIFEST), f"{folder.url}/{MANIFEST}")
