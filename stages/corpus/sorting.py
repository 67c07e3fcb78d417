"""Sorting more rows than memory holds: sorted runs on disk, merged as they are read."""

import heapq
import itertools
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from data.local import storage_faults
from stages.corpus.readers.rows import Row

ROWS_IN_MEMORY = 40_000
CHARACTERS_IN_MEMORY = 40_000_000
# Each run that is merged has a file open and a batch in memory: together about as many rows as are sorted at a time,
# so that a corpus needs the same memory whatever its size.
RUNS_AT_A_TIME = 256
_BATCH_ROWS = 128
_SCHEMA = pa.schema(
    [
        ("point", pa.float64()),
        ("group", pa.int8()),
        ("id", pa.string()),
        ("monolingual", pa.bool_()),
        ("sequence", pa.int64()),
        ("origin", pa.int32()),
        ("source", pa.string()),
        ("reference", pa.string()),
        ("location", pa.string()),
    ]
)


def sort_rows(
    rows: Iterable[Row], folder: Path, most_rows: int = ROWS_IN_MEMORY, most_characters: int = CHARACTERS_IN_MEMORY
) -> Iterator[Row]:
    """All rows, sorted, with at most so many rows and characters in memory at a time.

    What does not fit goes to `folder`, which is emptied first and removed at the end.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        runs, rest = _make_runs(rows, folder, most_rows, most_characters)
        yield from heapq.merge(*(_read_run(run) for run in _fewer(runs, folder)), rest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_runs(rows: Iterable[Row], folder: Path, most_rows: int, most_characters: int) -> tuple[list[Path], list[Row]]:
    runs: list[Path] = []
    waiting: list[Row] = []
    characters = 0
    for row in rows:
        waiting.append(row)
        characters += len(row.source) + len(row.reference or "")
        if len(waiting) >= most_rows or characters >= most_characters:
            waiting.sort()
            runs.append(_write_run(waiting, folder / f"{len(runs)}.arrow"))
            waiting, characters = [], 0
    waiting.sort()
    return runs, waiting


def _fewer(runs: list[Path], folder: Path) -> list[Path]:
    """The same rows in few enough runs to be merged at once."""
    for number in itertools.count():
        if len(runs) <= RUNS_AT_A_TIME:
            break
        taken, runs = runs[:RUNS_AT_A_TIME], runs[RUNS_AT_A_TIME:]
        merged = heapq.merge(*(_read_run(run) for run in taken))
        runs.append(_write_run(merged, folder / f"merged-{number}.arrow"))
        for run in taken:
            run.unlink()
    return runs


def _write_run(rows: Iterable[Row], path: Path) -> Path:
    waiting = iter(rows)
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.ipc.new_file(path, _SCHEMA) as writer:
            while batch := list(itertools.islice(waiting, _BATCH_ROWS)):
                columns = zip(*batch, strict=True)
                arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    return path


def _read_run(path: Path) -> Iterator[Row]:
    # Not mapped into memory: pages of a mapped file count as the process's own as long as nobody else wants them.
    with pa.OSFile(str(path)) as stream, pa.ipc.open_file(stream) as reader:
        for number in range(reader.num_record_batches):
            columns = [column.to_pylist() for column in reader.get_batch(number).columns]
            yield from map(Row._make, zip(*columns, strict=True))
