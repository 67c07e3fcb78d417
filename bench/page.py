"""The figures of bench/results/ as tables in docs/performance.md: `python -m bench.page`, after every suite."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.records import RESULTS, Record

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: made by `make bench` -->", "<!-- end of the figures -->"
SUITES = ("decode", "score", "store", "train", "scale", "estimate")


class Goal(NamedTuple):
    """What a figure should at least, or at most, be."""

    bound: float
    at_least: bool

    def is_met(self, value: float) -> bool:
        """Whether the value is on the right side, or on the line."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {_number(self.bound)}"


GOALS: Mapping[str, Goal] = {
    "decode_vs_peer": Goal(1.2, at_least=True),
    "decode_vs_peer_defaults": Goal(2.2, at_least=True),
    "decode_vs_limit": Goal(0.95, at_least=True),
    "score_vs_decode_cpu": Goal(0.40, at_least=False),
    "bytes_per_entry_compact_k16": Goal(2.3, at_least=False),
    "compact_kl_k16": Goal(0.001, at_least=False),
    "reader_tokens_per_second": Goal(1e6, at_least=True),
    "reader_vs_training": Goal(20, at_least=True),
    "projection_soft_target_bytes_read": Goal(0, at_least=False),
    "train_vs_onmt_train": Goal(1.6, at_least=True),
    "kd_step_cost_k16": Goal(1.10, at_least=False),
    "loss_memory_ratio": Goal(0.6, at_least=False),
    "scale_memory_ratio": Goal(1.3, at_least=False),
    "scale_time_ratio": Goal(1.2, at_least=False),
    "scale_wrong_rows": Goal(0, at_least=False),
    "workers_2_vs_1": Goal(1.8, at_least=True),
    "orchestration_cost": Goal(0.03, at_least=False),
}
# Of these the same is asked of every fixture.
_SUFFIXES = ("", "_transformer_base")


def read_records(suite: str, folder: Path = RESULTS) -> list[Record]:
    """What a suite left; nothing where it was never run to its end."""
    path = folder / f"{suite}.json"
    return [Record(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def tables(folder: Path = RESULTS) -> str:
    """A table for each suite, in Markdown."""
    return "\n\n".join(_table(suite, read_records(suite, folder)) for suite in SUITES)


def write_page(page: Path = PAGE, folder: Path = RESULTS) -> None:
    """Puts the tables into the page, between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{tables(folder)}\n\n{END}{after}", encoding="utf-8")


def _table(suite: str, records: Sequence[Record]) -> str:
    if not records:
        return f"### {suite}\n\nNot measured yet: `make bench-{suite}`."
    machines = sorted({f"{one.hardware}, {one.date}" for one in records})
    lines = [f"### {suite}", "", f"{'; '.join(machines)}.", ""]
    lines += ["| record | value | goal | compared with | threads |", "|---|--:|--:|---|--:|"]
    return "\n".join([*lines, *map(_line, records)])


def _line(one: Record) -> str:
    goal = _goal(one.name)
    said = "" if goal is None else f"{goal} {'✓' if goal.is_met(one.value) else '✗'}"
    unit = "" if one.unit == "ratio" else f" {one.unit}"
    return f"| `{one.name}` | {_number(one.value)}{unit} | {said} | {one.compared_with} | {one.threads} |"


def _goal(name: str) -> Goal | None:
    if name == "estimate_error":
        return None  # one of both signs: the page says so
    return next((GOALS[own] for suffix in _SUFFIXES if (own := name.removesuffix(suffix)) in GOALS), None)


def _number(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


if __name__ == "__main__":
    write_page()
