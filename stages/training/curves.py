"""What a training leaves to read: what it learned, which is the same in every run, and apart from that the times."""

import json
from collections.abc import Iterator
from pathlib import Path

from data.manifest import TIMINGS

__all__ = ["CURVES", "TIMINGS", "lines_of", "timed_lines"]

CURVES = "training.jsonl"
# Key of a line of TIMINGS that is of a validation: the seconds it took.
VALID_SECONDS = "valid_seconds"


def lines_of(path: Path) -> Iterator[dict[str, float]]:
    """Lines that are whole: a kill may have left half a line at the end."""
    if path.exists():
        yield from (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}"))


def is_of_training(line: dict[str, float]) -> bool:
    """Whether a line, of either file, is of steps and not of a validation."""
    return "loss" in line or "tokens_per_second" in line


def timed_lines(folder: Path) -> list[dict[str, float]]:
    """Each line of the curves with its `seconds` since the beginning and, of training, `tokens_per_second`."""
    times = {(line["step"], is_of_training(line)): line for line in lines_of(folder / TIMINGS)}
    return [times.get((line["step"], is_of_training(line)), {}) | line for line in lines_of(folder / CURVES)]
