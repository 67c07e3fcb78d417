"""What `rate` prints: who won, by how much, and how far the raters agree."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.terminal.tables import aligned


def rating_table(found: Mapping[str, Any]) -> str:
    """The scores of filled sheets in words and a table; `found` is what `rate_sheets` returns."""
    return "\n".join([*_preference(found), "", aligned(_raters(found), right={1, 2, 3, 4, 5}), "", *_rest(found)])


def _preference(found: Mapping[str, Any]) -> Iterator[str]:
    first, second = found["systems"]
    yield (
        f"{found['judged']} of {found['sentences']} sentences judged: {first} better in {found['wins']}, "
        f"{second} in {found['losses']}, as good in {found['ties']}"
    )
    if found["win_share"] is None:
        yield "no sentence was decided, so nothing can be said of a preference"
        return
    low, high = found["win_share_interval"]
    yield (
        f"{first} wins {100 * found['win_share']:.1f}% of those decided (95% interval {100 * low:.1f} to "
        f"{100 * high:.1f}); sign test: p {_p(found['p_value'])}"
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _raters(found: Mapping[str, Any]) -> list[list[str]]:
    first, second = found["systems"]
    rows = [["sheet", f"{first} better", f"{second} better", "as good", "not filled", "rows missing"]]
    for rater in found["raters"]:
        counts = [rater[name] for name in ("wins", "losses", "ties", "unfilled", "missing_rows")]
        rows.append([Path(rater["sheet"]).name, *map(str, counts)])
    return rows


def _rest(found: Mapping[str, Any]) -> Iterator[str]:
    for name, grades in found["adequacy"].items():
        yield f"adequacy of {name}: {_mean(grades)}"
    yield f"difference: {_mean(found['adequacy_difference'])}"
    yield f"A was preferred {found['sides']['A']} times, B {found['sides']['B']} times, whichever system it was"
    agreement = found["agreement"]
    if agreement:
        kappa = "not defined" if agreement["kappa"] is None else f"{agreement['kappa']:.2f}"
        yield (
            f"agreement: {agreement['kind']}'s kappa {kappa}; all said the same of {agreement['alike']} of the "
            f"{agreement['sentences']} sentences that all judged"
        )


def _mean(grades: Mapping[str, Any] | None) -> str:
    if grades is None:
        return "not filled"
    low, high = grades["interval"]
    return f"{grades['mean']:.2f} (95% interval {low:.2f} to {high:.2f}, {grades['sentences']} sentences)"
