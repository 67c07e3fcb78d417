"""What a sweep leaves to read: tune.json, tune.csv, and a table for the terminal."""

import csv
import io
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.local import write_atomically
from pipeline.recipe.tune_config import TuneConfig
from pipeline.terminal.tables import aligned
from pipeline.tuning.space import toml_text
from pipeline.tuning.study import Row

JSON, CSV = "tune.json", "tune.csv"


@dataclass(frozen=True)
class Results:
    """A study as it stands. `command`: the words that run the best trial's recipe; empty while none is whole."""

    recipe: str
    folder: Path
    tune: TuneConfig
    rows: Sequence[Row]
    importances: Mapping[str, float]
    command: Sequence[str]

    @property
    def best(self) -> Row | None:
        """The whole trial with the best value, the earliest of equals."""
        return best_of(self.rows, self.tune)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        best = self.best
        return {
            "recipe": self.recipe,
            "tune": self.tune.model_dump(exclude_none=True),
            "direction": self.tune.better,
            "trials": [_row_as_json(row) for row in self.rows],
            "best": None if best is None else best.number,
            "command": shlex.join(self.command),
            "importances": dict(self.importances),
        }

    def save(self) -> None:
        """Writes tune.json and tune.csv, each whole or not at all."""
        write_atomically(self.folder / JSON, json.dumps(self.as_json(), indent=1).encode())
        write_atomically(self.folder / CSV, _csv(self).encode())

    def table(self) -> str:
        """Best first, then pruned and failed ones in their order; below it, what moved the metric and the best."""
        keys = columns(self.rows)
        head = ["trial", "state", self.tune.metric, *(short_name(key, keys) for key in keys), "seconds", ""]
        rows = [head, *(_cells(row, keys) for row in ranked(self.rows, self.tune))]
        lines = [aligned(rows, right={0, *range(2, len(head) - 1)})]
        if self.importances:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in self.importances.items())
            lines += ["", f"What moved {self.tune.metric}: {shares}"]
        if self.best is not None:
            lines += ["", f"The best, trial {self.best.number}, by itself:", f"  {shlex.join(self.command)}"]
        return "\n".join(lines)


def best_of(rows: Sequence[Row], tune: TuneConfig) -> Row | None:
    """The whole trial with the best value, the earliest of equals; None while none is whole."""
    done = ranked([row for row in rows if row.state == "done"], tune)
    return done[0] if done else None


def ranked(rows: Sequence[Row], tune: TuneConfig) -> list[Row]:
    """Whole trials by their value, best first; then all others in the order of their beginning."""
    sign = 1.0 if tune.better == "minimise" else -1.0
    done = sorted((row for row in rows if row.value is not None), key=lambda row: sign * (row.value or 0.0))
    return [*done, *(row for row in rows if row.value is None)]


def columns(rows: Sequence[Row]) -> list[str]:
    """Keys that any trial sets, in the order in which they come up."""
    return list(dict.fromkeys(key for row in rows for key in row.settings))


def _cells(row: Row, keys: Sequence[str]) -> list[str]:
    value = "" if row.value is None else f"{row.value:.5g}"
    settings = [toml_text(row.settings[key]) if key in row.settings else "" for key in keys]
    return [
        str(row.number),
        row.state,
        value,
        *settings,
        "" if row.seconds is None else f"{row.seconds:,.0f}",
        row.reason,
    ]


def short_name(key: str, keys: Sequence[str]) -> str:
    """As many of its last parts as tell it from the others."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        tail = ".".join(parts[-count:])
        if sum(other == tail or other.endswith(f".{tail}") for other in keys) == 1:
            return tail
    return key


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        "trial": row.number,
        "state": row.state,
        "value": row.value,
        "settings": row.settings,
        "seconds": row.seconds,
        "figures": {name: _finite(value) for name, value in row.figures.items()},
        "curve": [[step, _finite(value)] for step, value in row.curve.items()],
        "reason": row.reason,
    }


def _finite(value: float) -> float | None:
    """JSON knows no other numbers."""
    return value if math.isfinite(value) else None


def _csv(results: Results) -> str:
    keys = columns(results.rows)
    # A stage's own seconds are a part of the trial's, which has the name already.
    figures = list(dict.fromkeys(name for row in results.rows for name in row.figures if name != "seconds"))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *keys, "seconds", *figures, "reason"])
    for row in results.rows:
        settings = [toml_text(row.settings[key]) if key in row.settings else "" for key in keys]
        found = [row.figures.get(name, "") for name in figures]
        writer.writerow([row.number, row.state, row.value, *settings, row.seconds, *found, row.reason])
    return stream.getvalue()
