"""From a hundred thousand rows to ten million: memory, time a row, exactness; and what the cluster itself costs.

`python -m bench.scale` prints a table and writes bench/results/scale.json; with `--quick` a look at small size, which
is not written. About twelve gigabytes of disk and half an hour are needed at full size. A run that was stopped goes
on where it stood; what it made is deleted at its end.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.orchestration import orchestration_records
from bench.plan_size import plan_records
from bench.records import RESULTS, Record, read_records, record, save, show
from bench.scaling import MEASURED, Size, run_size, wrong_rows

FOLDER = Path("runs") / "bench-scale"
BASE_ROWS, FULL_ROWS = 100_000, 10_000_000
QUICK_ROWS = (2_000, 20_000)
REPEATS = 3
PACKAGES = ("pyarrow", "numpy", "distributed")
PARTS = ("size", "plan", "cluster")
_MEGABYTE = 2**20
BYTES_A_ROW = 1500
PLAN_SHARDS, QUICK_PLAN_SHARDS = 100_000, 500


def measure_size(folder: Path, base_rows: int, full_rows: int, repeats: int) -> list[Record]:
    """Both sizes through all stages; raises OSError when the full one would take more than half of the free disk."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if full_rows * BYTES_A_ROW > free / 2 and not (folder / "full").exists():
        raise OSError(f"{folder}: {full_rows} rows need about {full_rows * BYTES_A_ROW} bytes; {free} are free")
    base = run_size(folder / "base", base_rows, repeats)
    full = run_size(folder / "full", full_rows)
    wrong = {size.made.rows: wrong_rows(folder / name, size.made) for name, size in (("base", base), ("full", full))}
    return size_records(base, full, wrong)


def size_records(base: Size, full: Size, wrong: dict[int, dict[str, int]]) -> list[Record]:
    """Ratios of the larger size to the smaller one, and rates of the larger."""
    rows = full.made.rows
    compared = f"{base.made.rows} rows"
    memory = {stage: full.peak(stage) / base.peak(stage) for stage in MEASURED}
    detail: dict[str, Any] = {"rows": rows, "base_rows": base.made.rows, "base_runs": len(base.took["corpus"])}
    peaks = {
        "megabytes": {stage: round(full.peak(stage) / _MEGABYTE) for stage in MEASURED},
        "base_megabytes": {stage: round(base.peak(stage) / _MEGABYTE) for stage in MEASURED},
        "client_megabytes": round(max(one.client_peak for runs in full.took.values() for one in runs) / _MEGABYTE),
    }
    records = [
        _figure("scale_memory_ratio", max(memory.values()), "ratio", compared, detail | peaks),
        _figure(
            "scale_wrong_rows", sum(sum(one.values()) for one in wrong.values()), "rows", "", detail | {"by": wrong}
        ),
    ]
    for name, kind in (("scale_time_ratio", "seconds"), ("scale_processor_time_ratio", "processor_seconds")):
        by_stage = {stage: _ratio(base, full, kind, (stage,)) for stage in MEASURED}
        more = {"by_stage": {stage: round(value, 3) for stage, value in by_stage.items()}}
        records.append(_figure(name, _ratio(base, full, kind, MEASURED), "ratio", compared, detail | more))
    records += [
        _figure(f"scale_rows_per_second_{stage}", rows / full.seconds(stage), "rows/s", "", _seconds(full, base, stage))
        for stage in MEASURED
    ]
    return records


def _ratio(base: Size, full: Size, kind: str, stages: Sequence[str]) -> float:
    """Time a row of the larger size over that of the smaller."""
    larger = sum(getattr(full, kind)(stage) for stage in stages) / full.made.rows
    return float(larger / (sum(getattr(base, kind)(stage) for stage in stages) / base.made.rows))


def _seconds(full: Size, base: Size, stage: str) -> dict[str, Any]:
    return {
        "rows": full.made.rows,
        "seconds": round(full.seconds(stage), 2),
        "processor_seconds": round(full.processor_seconds(stage), 2),
        "base_seconds": [round(one.seconds, 3) for one in base.took[stage]],
        "base_processor_seconds": [round(one.processor_seconds, 3) for one in base.took[stage]],
    }


def _figure(name: str, value: float, unit: str, compared_with: str, detail: dict[str, Any]) -> Record:
    return record(name, value, unit, threads=1, packages=PACKAGES, compared_with=compared_with, detail=detail)


def measure(parts: Sequence[str], folder: Path, *, quick: bool) -> Iterator[Record]:
    """The figures of all `parts`."""
    if "size" in parts:
        yield from measure_size(
            folder, *(QUICK_ROWS if quick else (BASE_ROWS, FULL_ROWS)), repeats=1 if quick else REPEATS
        )
    if "plan" in parts:
        yield from plan_records(folder / "plan", QUICK_PLAN_SHARDS if quick else PLAN_SHARDS)
    if "cluster" in parts:
        yield from orchestration_records(folder / "cluster", quick=quick)


def with_kept(records: Sequence[Record], path: Path) -> list[Record]:
    """The records, and this machine's of the file that have other names: of the parts that were not measured again."""
    names, machines = {one.name for one in records}, {one.hardware for one in records}
    kept = read_records(path.stem, path.parent)
    return [*records, *(one for one in kept if one.name not in names and one.hardware in machines)]


def main() -> None:
    """Measures, prints, and unless `--quick` keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, printed only")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; others are kept as they were")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the rows are made")
    options = parser.parse_args()
    folder = options.folder / ("quick" if options.quick else "whole")
    records = list(measure(options.part or PARTS, folder, quick=options.quick))
    show(records)
    if not options.quick:
        save("scale", with_kept(records, RESULTS / "scale.json"))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
