"""Entries on their way from a file to their shards: on disk, by groups of shards, so that few are in memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data import schema
from data.local import storage_faults
from stages.given.entries import Translation

# Files that are open at a time.
GROUPS = 128
# Tokens and entries of log-probabilities in memory, of some 100 bytes each, all groups together.
MOST_WAITING = 1_000_000
# What an entry takes as it is, in the same unit.
_OF_AN_ENTRY = 10
_LISTS = ("texts", "scores", "tokens", "log_probs")
_SCHEMA = pa.schema(
    [("shard", pa.int32()), ("key", pa.string()), *((name, schema.GIVEN.field(name).type) for name in _LISTS)]
)
Row = tuple[int, str, list[str], list[float | None], list[list[str] | None], list[object]]


class Spool:
    """A folder with a file for each group of consecutive shards; empty when it is opened, gone when it is closed."""

    def __init__(self, folder: Path, shards: int) -> None:
        self._folder = folder
        self._shards = shards
        self._shards_of_a_group = max(-(-shards // GROUPS), 1)
        self._waiting: dict[int, list[Row]] = {}
        self._weight = 0
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        shutil.rmtree(folder, ignore_errors=True)
        with storage_faults(folder):
            folder.mkdir(parents=True)

    def add(self, shard: int, key: str, translations: list[Translation]) -> None:
        """Keeps what was given for a key, in the order of the calls."""
        texts, scores, tokens, log_probs = map(list, zip(*translations, strict=True))
        self._waiting.setdefault(self._group(shard), []).append((shard, key, texts, scores, tokens, log_probs))
        weights = (len(one.tokens or ()) + sum(map(len, one.log_probs or ())) for one in translations)
        self._weight += _OF_AN_ENTRY * len(translations) + sum(weights)
        if self._weight > MOST_WAITING:
            self._flush()

    def read(self) -> Iterator[tuple[int, pa.Table]]:
        """Every shard's number with its entries, shard after shard, without those of which nothing was kept."""
        self._flush()
        for writer in self._writers.values():
            writer.close()
        for group in sorted(self._writers):
            with pa.ipc.open_stream(pa.OSFile(str(self._path(group)))) as reader:
                table = reader.read_all()
            first = group * self._shards_of_a_group
            for shard in range(first, min(first + self._shards_of_a_group, self._shards)):
                yield shard, table.filter(pc.equal(table.column("shard"), shard))

    def close(self) -> None:
        """Removes what is on disk."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _group(self, shard: int) -> int:
        return shard // self._shards_of_a_group

    def _path(self, group: int) -> Path:
        return self._folder / f"{group}.arrow"

    def _flush(self) -> None:
        with storage_faults(self._folder):
            for group, rows in self._waiting.items():
                if group not in self._writers:
                    self._writers[group] = pa.ipc.new_stream(str(self._path(group)), _SCHEMA)
                columns = zip(*rows, strict=True)
                arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
                self._writers[group].write_batch(pa.record_batch(arrays, schema=_SCHEMA))
        self._waiting, self._weight = {}, 0
