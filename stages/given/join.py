"""given: a file of translations, put to the rows of the corpus that they are of; the node before the tokenizer.

The file is read once, whatever its order: a table of 12 bytes a row of the corpus says which shard an entry belongs to,
and the entries wait there, on disk. So its size is bounded by the disk and not by memory.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from data import schema
from data.artifact import Artifact
from data.errors import DataError
from data.ids import row_id
from data.language_tags import Direction
from data.manifest import split_of
from data.runtime import Runtime
from stages.given.config import Config, Key
from stages.given.config import absent as absent_files
from stages.given.entries import Entry, EntryReader, Translation, is_id
from stages.given.reading import read_records
from stages.given.rows import Rows, read_keys
from stages.given.spool import Spool

__all__ = ["Config", "absent", "external_files", "run"]

VERSION = "1"
INPUTS = ("corpus",)
LIBRARIES: tuple[str, ...] = ()
EXAMPLES = 5
PROGRESS_RECORDS = 10_000
_SPOOL = ".given"
_LOG = logging.getLogger(__name__)


@dataclass
class Counts:
    """What became of the file's records, and what the rows of each split have."""

    records: int = 0
    matched: int = 0
    without_translation: int = 0
    empty: int = 0
    # Of no row of the corpus, with some of them.
    unmatched: int = 0
    examples: list[str] = field(default_factory=list)
    # Of translations, of those of one row that were the same, and of what is said of them.
    kept: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    translated: Counter[str] = field(default_factory=Counter)

    def strange(self, where: str, entry: Entry) -> None:
        """A record of which the corpus has no row."""
        self.unmatched += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{where}: {entry.told()}")

    def metrics(self) -> dict[str, Any]:
        """All of them."""
        splits = {
            split: {"rows": rows, "translated": self.translated[split]} for split, rows in sorted(self.rows.items())
        }
        return {
            "records": self.records,
            "matched": self.matched,
            "unmatched": self.unmatched,
            "unmatched_examples": self.examples,
            "without_translation": self.without_translation,
            "empty_texts": self.empty,
            **{name: self.kept[name] for name in ("translations", "repeated", "scored", "with_log_probs")},
            "splits": splits,
        }


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Columns by which a row is known: a corpus with other references asks for no other translations."""
    return {"corpus": dict.fromkeys(("train", "valid", "test"), ("id", "source", "source_language", "target_language"))}


def external_files(config: Config) -> list[Path]:
    """The files that are there; before a run all must be, see `absent`."""
    return config.files()


def absent(config: Config) -> list[str]:
    """A line where the files are not there, which a run needs and a plan does not."""
    return absent_files(config)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes shards of GIVEN, named like the corpus's of all splits; returns counts.

    An entry is of the row with its id, or of all rows with its source in its languages; several entries of a row
    are so many translations. Raises DataError for what is no translation, with file and line, and when no row of the
    train split has one.
    """
    if faults := absent(config):
        raise DataError("; ".join(faults))
    output.discard_shards()  # of a run that was killed
    rows, counts = Rows.of(inputs["corpus"], config.pairs), Counts()
    spool = Spool(output.work_path() / _SPOOL, len(rows.shards))
    try:
        for path in config.files():
            _take(path, config, rows, spool, counts, runtime)
        for name, table in _shards(inputs["corpus"], config, rows, spool, counts):
            output.write_shard(name, table)
    finally:
        spool.close()
    _check(config, counts)
    return counts.metrics()


def _take(path: Path, config: Config, rows: Rows, spool: Spool, counts: Counts, runtime: Runtime) -> None:
    """Every record of a file to the shards that have its row."""
    reader, wanted = EntryReader(config), tuple(config.name(key) for key in get_args(Key))
    for record in read_records(path, wanted):
        entry = reader.read(record)
        counts.records += 1
        counts.empty += entry.empty
        if counts.records % PROGRESS_RECORDS == 0:
            runtime.progress(counts.records, None, {"unmatched": counts.unmatched})
        key = entry.row_id or row_id(*_direction(record.where, entry, rows, config), entry.source)
        shards = rows.shards_with(key) if is_id(key) else []
        if not shards:
            counts.strange(record.where, entry)
            continue
        counts.matched += 1
        if not entry.translations:
            counts.without_translation += 1
            continue
        for shard in shards:
            spool.add(shard, key, entry.translations)


def _direction(where: str, entry: Entry, rows: Rows, config: Config) -> Direction:
    """In which languages a source is meant; raises DataError where nothing says."""
    if entry.direction is not None:
        return entry.direction
    if len(rows.directions) == 1:
        return next(iter(rows.directions))
    known = ", ".join(sorted(map(str, rows.directions))) or "none"
    raise DataError(
        f"{where}: names a source and no languages, and the corpus has the pairs {known} of this teacher; add "
        f"{config.name('source_language')} and {config.name('target_language')}, or name rows by {config.name('id')}"
    )


def _shards(
    corpus: Artifact, config: Config, rows: Rows, spool: Spool, counts: Counts
) -> Iterator[tuple[str, pa.Table]]:
    """A table for each shard of the corpus, those without an entry too."""
    waiting = iter(range(len(rows.shards)))
    nothing = pa.table({name: pa.array([], kind) for name, kind in _empty()})
    for place, entries in spool.read():
        for earlier in iter(lambda: next(waiting), place):
            yield rows.shards[earlier], _table(corpus, config, rows.shards[earlier], nothing, counts)
        yield rows.shards[place], _table(corpus, config, rows.shards[place], entries, counts)
    for place in waiting:
        yield rows.shards[place], _table(corpus, config, rows.shards[place], nothing, counts)


def _empty() -> list[tuple[str, pa.DataType]]:
    return [("key", pa.string()), *((each.name, each.type) for each in schema.GIVEN if each.name != "id")]


def _table(corpus: Artifact, config: Config, shard: str, entries: pa.Table, counts: Counts) -> pa.Table:
    """GIVEN for the rows of a shard, in the corpus's order."""
    by_key: dict[str, list[Translation]] = {}
    names = [each.name for each in schema.GIVEN if each.name != "id"]
    for key, *lists in zip(*(entries.column(name).to_pylist() for name in ("key", *names)), strict=True):
        by_key.setdefault(key, []).extend(map(Translation._make, zip(*lists, strict=True)))
    ids: list[str] = corpus.read_shard(shard, ["id"]).column("id").to_pylist()
    keys, _ = read_keys(corpus, shard, config.pairs)
    found = [_ordered(by_key.get(own) or by_key.get(base) or [], counts) for own, base in keys]
    split = split_of(shard)
    counts.rows[split] += sum(bool(own) for own, _ in keys)
    counts.translated[split] += sum(bool(each) for each in found)
    columns = [[[one[place] for one in each] for each in found] for place in range(len(names))]
    arrays = [pa.array(column, schema.GIVEN.field(name).type) for column, name in zip(columns, names, strict=True)]
    return pa.Table.from_arrays([pa.array(ids, pa.string()), *arrays], schema=schema.GIVEN)


def _ordered(given: Sequence[Translation], counts: Counts) -> list[Translation]:
    """Each text once, as it came first; by score where all have one."""
    by_text: dict[str, Translation] = {}
    for one in given:
        by_text.setdefault(one.text, one)
    found = list(by_text.values())
    counts.kept["repeated"] += len(given) - len(found)
    counts.kept["translations"] += len(found)
    counts.kept["scored"] += sum(one.score is not None for one in found)
    counts.kept["with_log_probs"] += sum(one.log_probs is not None for one in found)
    if all(one.score is not None for one in found):
        found.sort(key=lambda one: -(one.score or 0.0))
    return found


def _check(config: Config, counts: Counts) -> None:
    """Says what is missing; raises DataError when there is nothing to go on with."""
    shown = f", such as {'; '.join(counts.examples)}" if counts.examples else ""
    if not counts.translated["train"]:
        raise DataError(
            f"{config.path}: none of {counts.rows['train']:,} rows of the train split has a translation there; of its "
            f"{counts.records:,} records {counts.unmatched:,} are of no row of the corpus{shown}; expected the ids or "
            "the sources that `potstill export-text --sources` writes"
        )
    if config.soft_targets and not counts.kept["with_log_probs"]:
        raise DataError(
            f"{config.path}: no translation has {config.name('log_probs')}, and soft_targets is true; add them, or set "
            "it to false"
        )
    lacking = [
        f"{split}: {counts.rows[split] - counts.translated[split]:,} of {counts.rows[split]:,} rows have no translation"
        for split in sorted(counts.rows)
        if counts.translated[split] < counts.rows[split]
    ]
    if counts.unmatched:
        lacking.append(f"{counts.unmatched:,} of {counts.records:,} records are of no row of the corpus{shown}")
    if lacking:
        _LOG.warning("%s: %s", config.path, "; ".join(lacking))
