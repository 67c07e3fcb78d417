"""What a figure is: a value that never travels without what it was compared with, on which machine, and when."""

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.environment import become_worker
from bench.turns import UnsteadyError
from stages.evaluate.machine import describe_machine

RESULTS = Path(__file__).parent / "results"


class Record(BaseModel):
    """One figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what docs and issues call the figure")
    value: float = Field(description="a median where it was measured more than once")
    unit: str = Field(description="ratio, s, tokens/s, bytes, nat, ...")
    compared_with: str = Field("", description="of a ratio: what the value is relative to")
    hardware: str = Field(description="the processor, and the accelerator if one was used")
    threads: int = Field(description="CPU threads of each contender, all together", ge=1)
    versions: dict[str, str] = Field(description="of the packages that do the work")
    date: str = Field(description="day of the measurement, UTC")
    detail: dict[str, Any] = Field(default_factory=dict, description="single timings, sizes, options")


def record(
    name: str,
    value: float,
    unit: str,
    *,
    threads: int,
    packages: Sequence[str],
    compared_with: str = "",
    detail: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Record:
    """A figure of this machine and this day."""
    return Record(
        name=name,
        value=round(value, 6),
        unit=unit,
        compared_with=compared_with,
        hardware=hardware(device),
        threads=threads,
        versions={"python": platform.python_version()} | {package: version(package) for package in packages},
        date=datetime.now(UTC).date().isoformat(),
        detail=dict(detail or {}),
    )


def hardware(device: str) -> str:
    """Processor and cores, and the GPU where `device` is cuda."""
    facts = describe_machine(device)
    memory = int(facts["memory_bytes"]) / 2**30
    machine = f"{facts['processor']}, {facts['cores']} cores, {memory:.0f} GiB"
    return f"{facts['gpu']}; {machine}" if "gpu" in facts else machine


def save(suite: str, records: Sequence[Record], folder: Path = RESULTS) -> Path:
    """Adds them to <folder>/<suite>.json, a list sorted by machine and name; those of other machines stay."""
    folder.mkdir(parents=True, exist_ok=True)
    machines = {one.hardware for one in records}
    kept = [one for one in read_records(suite, folder) if one.hardware not in machines]
    ordered = sorted([*kept, *records], key=lambda one: (one.hardware, one.name))
    path = folder / f"{suite}.json"
    path.write_text(json.dumps([one.model_dump() for one in ordered], indent=2, ensure_ascii=False) + "\n")
    return path


def read_records(suite: str, folder: Path = RESULTS) -> list[Record]:
    """What a suite left, on whatever machine; nothing where it was never run to its end."""
    path = folder / f"{suite}.json"
    return [Record(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def show(records: Sequence[Record]) -> None:
    """Prints a table of the figures."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "unit", "compared with", "threads")
    for one in sorted(records, key=lambda one: one.name):
        table.add_row(one.name, f"{one.value:.6g}", one.unit, one.compared_with, str(one.threads))
    Console().print(table)


def run_suite(suite: str, description: str | None, measure: Callable[[bool, Path], Sequence[Record]]) -> None:
    """The command line of a suite, in a process with a worker's environment.

    `measure` gets whether to be quick, and a folder that goes when it has ended.
    """
    become_worker(f"bench.{suite}")
    parser = argparse.ArgumentParser(prog=f"python -m bench.{suite}", description=description)
    parser.add_argument("--quick", action="store_true", help="measure little, write nothing")
    quick = bool(parser.parse_args().quick)
    try:
        with tempfile.TemporaryDirectory(prefix="potstill-bench-") as folder:
            records = measure(quick, Path(folder))
    except UnsteadyError as error:
        sys.exit(f"{suite}: {error}; nothing was written")
    show(records)
    if quick:
        print(json.dumps({one.name: one.detail for one in records}, indent=1))
    else:
        save(suite, records)


def median(values: Sequence[float]) -> float:
    """Of single timings."""
    return statistics.median(values)
