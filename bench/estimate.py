"""`make bench-estimate`: what `potstill estimate` says of the demo against what the demo then takes.

Both go through the commands that a user calls. Only stages that were estimated count, by the clock from the run's
beginning to its end; each stage's own error is in the figure's detail. With --quick the trainings have 600 steps.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.records import Record, record, save, show

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "recipes" / "demo-full.toml"
PACKAGES = ("ctranslate2", "OpenNMT-py", "torch", "distributed")
QUICK = ("student.optimiser.steps=600",)


def main(arguments: Sequence[str] | None = None) -> None:
    """Estimates, runs, prints, and writes bench/results/estimate.json (not with --quick)."""
    options = _parser().parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="estimate-", dir=options.folder))
    try:
        found = measure(DEMO, folder, [*(QUICK if options.quick else ()), *options.overrides])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show([found])
    for line in stage_lines(found.detail["stages"]):
        sys.stdout.write(line + "\n")
    if not options.quick:
        save("estimate", [found])


def measure(recipe: Path, folder: Path, overrides: Sequence[str]) -> Record:
    """The figure `estimate_error`: estimated clock over true clock, minus one."""
    settings = [part for each in (f"run.store={folder}", *overrides) for part in ("--set", each)]
    estimate = json.loads(_potstill("estimate", str(recipe), "--json", *settings))
    start = time.monotonic()
    _potstill("run", str(recipe), "--plain", *settings)
    truth = time.monotonic() - start
    expected = estimate["clock"]["value"]
    stages = compare(estimate, read_seconds(folder))
    return record(
        "estimate_error",
        expected / truth - 1,
        "ratio",
        compared_with="the run's wall clock",
        threads=estimate["workers"],
        packages=PACKAGES,
        detail={
            "estimated_seconds": estimate["clock"],
            "true_seconds": round(truth, 1),
            "estimating_took_seconds": round(estimate["took_seconds"], 1),
            "sum_of_stages_error": error(
                sum(stage["estimated"] for stage in stages.values()), sum(stage["true"] for stage in stages.values())
            ),
            "sample_rows": estimate["sample_rows"],
            "rows": estimate["rows"],
            "overrides": list(overrides),
            "stages": stages,
        },
        device=estimate["device"],
    )


def read_seconds(folder: Path) -> dict[str, float]:
    """True seconds of every stage below a store, by its name."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*/*/manifest.json")]
    return {manifest["stage"]: manifest["seconds"] for manifest in manifests}


def compare(estimate: Mapping[str, Any], truth: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Of each stage that was estimated: both times, whether the interval holds the truth, and the error."""
    return {
        stage["stage"]: {
            "estimated": round(stage["seconds"]["value"], 2),
            "true": round(truth[stage["stage"]], 2),
            "within": stage["seconds"]["low"] <= truth[stage["stage"]] <= stage["seconds"]["high"],
            "error": error(stage["seconds"]["value"], truth[stage["stage"]]),
        }
        for stage in estimate["stages"]
        if stage["state"] == "estimated"
    }


def error(expected: float, truth: float) -> float | None:
    """Expected over truth, minus one; None for a truth of nothing."""
    return round(expected / truth - 1, 3) if truth else None


def stage_lines(stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a stage for the reader."""
    return [
        f"{name:<16} estimated {stage['estimated']:>8.1f} s, took {stage['true']:>8.1f} s"
        for name, stage in stages.items()
    ]


def _potstill(*arguments: str) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own command)
    return done.stdout


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.estimate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="trainings of 600 steps; nothing is written")
    parser.add_argument("--folder", help="where to put the run meanwhile; by default the system's temporary folder")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="a key of the recipe, as potstill")
    return parser


if __name__ == "__main__":
    main()
