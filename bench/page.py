"""The figures of bench/results/ as tables in docs/performance.md: `python -m bench.page`, after every suite."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bench.records import RESULTS, Record, read_records

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: made by `make bench` -->", "<!-- end of the figures -->"
SUITES = ("decode", "score", "store", "train", "reader", "loss", "scale", "estimate", "demo")


class Goal(NamedTuple):
    """What a figure should at least (≥) or at most (≤) be, or how far from 0 (±)."""

    sign: Literal["≥", "≤", "±"]
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether the value is on the right side, or on the line."""
        if self.sign == "≥":
            return value >= self.bound
        return (abs(value) if self.sign == "±" else value) <= self.bound

    def __str__(self) -> str:
        return f"{self.sign} {_number(self.bound)}"


GOALS: Mapping[str, Goal] = {
    "decode_vs_peer": Goal("≥", 1.2),
    "decode_vs_peer_defaults": Goal("≥", 2.2),
    "decode_vs_limit": Goal("≥", 0.95),
    "score_vs_decode_cpu": Goal("≤", 0.40),
    "bytes_per_entry_compact_k16": Goal("≤", 2.3),
    "compact_kl_k16": Goal("≤", 0.001),
    "reader_tokens_per_second": Goal("≥", 1e6),
    "reader_vs_training": Goal("≥", 20),
    "projection_soft_target_bytes_read": Goal("≤", 0),
    "train_vs_onmt_train": Goal("≥", 1.6),
    "kd_step_cost_k16": Goal("≤", 1.10),
    "loss_memory_ratio": Goal("≤", 0.6),
    "reader_streams_cost": Goal("≤", 1.05),
    "train_start_seconds_10m": Goal("≤", 20),
    "train_resume_seconds_10m": Goal("≤", 20),
    "train_memory_ratio": Goal("≤", 1.2),
    "train_resume_memory_ratio": Goal("≤", 1.2),
    "train_step_vs_previous_v32k": Goal("≥", 1.3),
    "train_step_vs_previous_v4k": Goal("≥", 1.1),
    "shortlist_loss_speed": Goal("≥", 2),
    "scale_memory_ratio": Goal("≤", 1.3),
    "scale_time_ratio": Goal("≤", 1.2),
    "scale_wrong_rows": Goal("≤", 0),
    "workers_2_vs_1": Goal("≥", 1.8),
    "orchestration_cost": Goal("≤", 0.03),
    "estimate_error": Goal("±", 0.25),
    "demo_seconds": Goal("≤", 600),
    "demo_chrf_retention": Goal("≥", 0.85),
    "demo_gain_over_baseline_chrf": Goal("≥", 1.5),
    "demo_speedup": Goal("≥", 8),
}
# Of these the same is asked of every fixture.
_SUFFIXES = ("", "_transformer_base")


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
    machines = list(dict.fromkeys(one.hardware for one in records))
    days = {machine: max(one.date for one in records if one.hardware == machine) for machine in machines}
    by_name: dict[str, dict[str, Record]] = {}
    for one in records:
        by_name.setdefault(one.name, {})[one.hardware] = one
    lines = [
        f"### {suite}",
        "",
        f"| record | {' | '.join(f'{one}, {days[one]}' for one in machines)} | goal | compared with | threads |",
        f"|---|{'--:|' * len(machines)}--:|---|--:|",
    ]
    return "\n".join([*lines, *(_line(name, by_name[name], machines) for name in sorted(by_name))])


def _line(name: str, found: Mapping[str, Record], machines: Sequence[str]) -> str:
    goal, last = _goal(name), found[max(found, key=lambda machine: found[machine].date)]
    cells = [_cell(found.get(machine), goal) for machine in machines]
    return f"| `{name}` | {' | '.join(cells)} | {goal or ''} | {last.compared_with} | {last.threads} |"


def _cell(one: Record | None, goal: Goal | None) -> str:
    if one is None:
        return "–"
    unit = "" if one.unit == "ratio" else f" {one.unit}"
    met = "" if goal is None else f" {'✓' if goal.is_met(one.value) else '✗'}"
    return f"{_number(one.value)}{unit}{met}"


def _goal(name: str) -> Goal | None:
    return next((GOALS[own] for suffix in _SUFFIXES if (own := name.removesuffix(suffix)) in GOALS), None)


def _number(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


if __name__ == "__main__":
    write_page()
