"""What soft targets take on disk, and how fast they are read into batches.

`python -m bench.store` writes bench/results/store.json; `--quick` looks at little and writes nothing.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench import fixtures, scored
from bench.fixtures import Fixture
from bench.readers import read_epoch, training_speed
from bench.records import Record, median, record, run_suite
from bench.turns import until_steady
from data.drawn_targets import drawn
from data.parquet import encode
from data.schema import SOFT_TARGETS
from data.soft_targets import SoftTargetFormat, row_lengths, topk

PACKAGES = ("pyarrow", "numpy")
KEPT = (8, 16, 64)
ENCODINGS = ("exact", "compact")
DRAWS = 50
SOFT = [field.name for field in SOFT_TARGETS if pa.types.is_binary(field.type)]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    demo_shards: int
    base_rows: int
    rounds: int
    training_steps: int


FULL = Size(demo_shards=3, base_rows=400, rounds=5, training_steps=120)
QUICK = Size(demo_shards=1, base_rows=24, rounds=1, training_steps=20)


def measure_size(fixture: Fixture, soft: pa.Table) -> list[Record]:
    """Bytes a target token and a kept entry, of a shard that score leaves: row ids, lengths and Parquet included."""
    positions = int(row_lengths(soft).sum())
    detail = {"fixture": fixture.name, "rows": soft.num_rows, "positions": positions}
    vocabulary = SoftTargetFormat.of(soft.schema).vocabulary_size
    suffix = _suffix(fixture)
    records = []
    for k in KEPT:
        tables = {encoding: scored.cut(soft, k, encoding) for encoding in ENCODINGS}
        for encoding, table in tables.items():
            size = len(encode(table))
            more = detail | {"k": k, "vocabulary": vocabulary, "bytes": size, "by_column": column_bytes(table)}
            records.append(_record(f"bytes_per_token_{encoding}_k{k}{suffix}", size / positions, "bytes", more))
            records.append(_record(f"bytes_per_entry_{encoding}_k{k}{suffix}", size / positions / k, "bytes", more))
        lost = divergence(tables["exact"], tables["compact"])
        more = detail | {"largest": float(lost.max()), "same_first_entry": same_first(tables)}
        records.append(_record(f"compact_kl_k{k}{suffix}", float(lost.mean()), "nat", more, "exact"))
    return records


def column_bytes(table: pa.Table) -> dict[str, int]:
    """Of each column on disk, compressed."""
    footer = pq.read_metadata(io.BytesIO(encode(table)))
    sizes: dict[str, int] = {}
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            sizes[column.path_in_schema] = sizes.get(column.path_in_schema, 0) + column.total_compressed_size
    return sizes


def divergence(exact: pa.Table, other: pa.Table) -> npt.NDArray[np.float64]:
    """KL(exact || other) over K + 1 outcomes at every position, [N], in nats; each side is scaled to sum to 1."""
    sides = []
    for table in (exact, other):
        ids, log_probs, tail = topk(table)
        ordered = np.take_along_axis(log_probs, np.argsort(ids, axis=1), axis=1)
        both = np.maximum(np.concatenate([ordered, tail[:, None]], axis=1).astype(np.float64), -40.0)
        sides.append(both - np.log(np.exp(both).sum(axis=1, keepdims=True)))
    divergences: npt.NDArray[np.float64] = (np.exp(sides[0]) * (sides[0] - sides[1])).sum(axis=1)
    return divergences


def same_first(tables: Mapping[str, pa.Table]) -> float:
    """Share of positions where both encodings have the same most probable entry."""
    first = [topk(table)[0][:, 0] for table in tables.values()]
    return float((first[0] == first[1]).mean())


def measure_draws(fixture: Fixture, sampled: pa.Table) -> list[Record]:
    """The same of a shard of drawn entries, each in its two encodings; entries are the distinct ones."""
    suffix, positions = _suffix(fixture), int(row_lengths(sampled).sum())
    entries = len(drawn(sampled).ids)
    detail = {"fixture": fixture.name, "rows": sampled.num_rows, "positions": positions}
    detail |= {"draws": SoftTargetFormat.of(sampled.schema).draws, "distinct_per_token": entries / positions}
    records = []
    for encoding in ENCODINGS:
        table = scored.drawn_in(sampled, encoding)
        size = len(encode(table))
        more = detail | {"bytes": size, "by_column": column_bytes(table)}
        name = f"{encoding}_{DRAWS}_draws{suffix}"
        records.append(_record(f"bytes_per_token_{name}", size / positions, "bytes", more))
        records.append(_record(f"bytes_per_entry_{name}", size / entries, "bytes", more))
    return records


class Counting(io.BytesIO):
    """A file that knows which of its bytes were read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.spans: list[tuple[int, int]] = []

    def read(self, size: int | None = -1) -> bytes:
        """As of any file."""
        start = self.tell()
        content = super().read(size)
        self.spans.append((start, start + len(content)))
        return content


def soft_bytes_read(table: pa.Table, columns: list[str]) -> tuple[int, int]:
    """Bytes read of soft targets' columns, and of all, when only `columns` are opened.

    The footer is read before and not counted: pyarrow fetches the file's last 64 KiB for it, whatever lies there.
    """
    content = encode(table)
    footer = pq.read_metadata(io.BytesIO(content))
    group = footer.row_group(0)
    spans = []
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema in SOFT:
            start = column.dictionary_page_offset or column.data_page_offset
            spans.append((start, start + column.total_compressed_size))
    file = Counting(content)
    with pq.ParquetFile(file, metadata=footer, pre_buffer=False) as opened:
        opened.read(columns=columns)
    met = sum(max(0, min(end, last) - max(start, first)) for start, end in file.spans for first, last in spans)
    return met, sum(end - start for start, end in file.spans)


def _projection(table: pa.Table) -> Record:
    met, read = soft_bytes_read(table, ["source", "reference", "target_tokens"])
    detail = {"read": read, "file": len(encode(table))}
    return _record("projection_soft_target_bytes_read", met, "bytes", detail, "source, reference and target alone")


def _reading(fixture: Fixture, table: pa.Table, size: Size, folder: Path) -> list[Record]:
    """Target tokens a second into padded batches, against the student's training; both encodings."""
    training = training_speed(fixture, table, size.training_steps, folder)
    records = []
    for encoding in ENCODINGS:
        whole = with_text(scored.cut(table, 16, encoding), table)
        read = partial(read_epoch, fixture, partial(io.BytesIO, encode(whole)), epochs=4)
        speeds = until_steady(f"reader, {encoding}", read, size.rounds)
        suffix = "" if encoding == "exact" else "_compact"
        detail = {"speeds": speeds, "k": 16, "encoding": encoding, "training_tokens_per_second": training}
        records += [
            _record(f"reader_tokens_per_second{suffix}", median(speeds), "tokens/s", detail),
            _record(
                f"reader_vs_training{suffix}", median(speeds) / training, "ratio", detail, "the student's training"
            ),
        ]
    return records


def with_text(soft: pa.Table, table: pa.Table) -> pa.Table:
    """Soft targets with the texts of the rows that they belong to."""
    for name in ("source", "reference", "target_tokens"):
        soft = soft.append_column(name, table[name])
    return soft


def _suffix(fixture: Fixture) -> str:
    return "" if fixture.name == "demo" else f"_{fixture.name.replace('-', '_')}"


def _record(name: str, value: float, unit: str, detail: Mapping[str, Any], against: str = "") -> Record:
    return record(name, value, unit, threads=1, packages=PACKAGES, compared_with=against, detail=detail)


def measure(size: Size, folder: Path) -> list[Record]:
    """All figures of the suite."""
    demo = fixtures.demo(folder / "demo", shards=size.demo_shards)
    base = fixtures.transformer_base(folder / "base", rows=size.base_rows)
    records = []
    for fixture in (demo, base):
        table = scored.with_targets(fixture)
        soft = scored.soft_targets(fixture, table, max(KEPT))
        records += measure_size(fixture, soft)
        records += measure_draws(fixture, scored.sampled_targets(fixture, table, DRAWS))
        if fixture is demo:
            whole = with_text(soft, table)
            records += [_projection(with_text(scored.cut(soft, 16, "exact"), table))]
            records += _reading(fixture, whole, size, folder / "reading")
    return records


def main() -> None:
    """Runs the suite."""
    run_suite("store", __doc__, lambda quick, folder: measure(QUICK if quick else FULL, folder))


if __name__ == "__main__":
    main()
