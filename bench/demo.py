"""`make demo` as a newcomer has it: a fresh clone, nothing installed, to its report.

`python -m bench.demo` clones HEAD and writes bench/results/demo.json: how long all of it took, downloads included, and
what the student came to. `--quick` only shows what the last run in runs/demo took, and writes nothing.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.environment import plain
from bench.records import Record, record, run_suite

ROOT = Path(__file__).parents[1]
PACKAGES = ("ctranslate2", "torch", "OpenNMT-py", "pyarrow")


def measure(quick: bool, folder: Path) -> list[Record]:
    """Clones, runs and reads what came out."""
    if quick:
        return records({}, ROOT)
    clone = folder / "potstill"
    git, make = (_found(name) for name in ("git", "make"))
    parts: dict[str, float] = {}
    for name, command in {
        "clone": [git, "clone", "--quiet", "--no-local", str(ROOT), str(clone)],
        "setup": [make, "-C", str(clone), "setup"],
        "run": [make, "-C", str(clone), "demo", "ARGS=--plain"],
    }.items():
        started = time.perf_counter()
        subprocess.run(command, check=True, env=_newcomer(folder))  # noqa: S603
        parts[name] = round(time.perf_counter() - started, 1)
    return records(parts, clone)


def _newcomer(folder: Path) -> dict[str, str]:
    """An environment in which nothing was downloaded before, and which tells no library how fast to be."""
    return plain() | {"XDG_CACHE_HOME": str(folder / "cache"), "PIP_NO_CACHE_DIR": "1"}


def records(parts: Mapping[str, float], clone: Path) -> list[Record]:
    """The figures of a demo that has run in `clone`; `parts`: seconds of the clone, of `make setup` and of the run."""
    stages = _stages(clone / "runs" / "demo")
    metrics = json.loads((_newest(clone / "runs" / "demo", "report") / "metrics.json").read_bytes())
    threads = int(metrics["settings"]["threads"])
    ratios = metrics["ratios"]

    def figure(name: str, value: float, unit: str, compared_with: str, detail: Mapping[str, Any]) -> Record:
        return record(name, value, unit, threads=threads, packages=PACKAGES, compared_with=compared_with, detail=detail)

    chrf = {name: round(system["chrf"], 2) for name, system in metrics["systems"].items()}
    speeds = {name: round(system["sentences_per_second"], 1) for name, system in metrics["systems"].items()}
    seconds = sum(parts.values()) if parts else sum(stages.values())
    return [
        figure("demo_seconds", seconds, "s", "", {**parts, "stages": stages}),
        figure("demo_chrf_retention", ratios["chrf_vs_teacher"], "ratio", "the teacher's chrF, beam 5", {"chrf": chrf}),
        figure(
            "demo_gain_over_baseline_chrf",
            ratios["chrf_gain_vs_baseline"],
            "chrF",
            "the same student from random weights, as many steps, on the references alone",
            {"chrf": chrf},
        ),
        figure(
            "demo_speedup", ratios["speedup_vs_teacher"], "ratio", "the teacher's sentences a second, beam 5", speeds
        ),
    ]


def _stages(store: Path) -> dict[str, float]:
    """Seconds of each stage, several of which run side by side, in the order in which they ended."""
    manifests = [json.loads(path.read_bytes()) for path in store.glob("*/manifest.json")]
    ordered = sorted(manifests, key=lambda manifest: manifest["created"])
    return {manifest["stage"]: round(manifest["seconds"], 1) for manifest in ordered}


def _newest(store: Path, stage: str) -> Path:
    return max(store.glob(f"{stage}-*/manifest.json"), key=lambda path: path.stat().st_mtime).parent


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not on the PATH; install it first")
    return path


if __name__ == "__main__":
    run_suite("demo", __doc__, measure)
