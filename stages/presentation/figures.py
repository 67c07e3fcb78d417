"""Numbers and sentences as the page writes them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stages.report.trainings import same_student

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


class Part(NamedTuple):
    """A stretch of a sentence; `strong` is what the eye should catch."""

    text: str
    strong: bool = False


def count(value: float) -> str:
    """A whole number with separators."""
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes in decimal units."""
    for unit, factor in _UNITS:
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"


def parameters(value: float) -> str:
    """Millions, as models are spoken of; thousands below a tenth of one."""
    return f"{value / 1e6:.2f} M" if value >= 1e5 else count(value)


def share(part: float, whole: float) -> str:
    """A percentage with one decimal; an en dash where there is no whole."""
    return f"{100 * part / whole:.1f}%" if whole else "–"


def rate(value: float) -> str:
    """Something a second: no decimals from ten up."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def interval(bounds: Sequence[float] | None, *, signed: bool = False) -> str:
    """Low to high, one decimal."""
    if not bounds:
        return ""
    sign = "+" if signed else ""
    low, high = (f"{bound:{sign}.1f}".replace("-", "−") for bound in bounds)
    return f"{low} to {high}" if signed else f"{low}–{high}"


def bounds(low: float | None, high: float | None) -> str:
    """What a rule lets through."""
    least, most = (None if value is None else f"{value:.3g}".replace("-", "−") for value in (low, high))
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"at least {least}" if least is not None else f"at most {most}" if most is not None else ""


def signed(value: float) -> str:
    """A difference, with its sign and one decimal."""
    return f"{value:+.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds below a minute and a half, then minutes, then hours."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def p_value(value: float, samples: int) -> str:
    """Three decimals; no more than a bound where they show nothing, or where no resample had the other sign.

    Of `samples` resamples 2 / (samples + 1) is the smallest p that `two_sided` can give.
    """
    if value < 0.001:
        return "< 0.001"
    smallest = 2 / (samples + 1)
    if value <= smallest or math.isclose(value, smallest):
        return f"≤ {math.ceil(1000 * smallest) / 1000:.3f}"
    return f"{value:.3f}"


def decoding(beam: int) -> str:
    """How a system decodes, in words."""
    return "greedy" if beam == 1 else f"beam {beam}"


def role(system: Mapping[str, Any]) -> str:
    """What a system is, and which of several teachers."""
    return " ".join(filter(None, [system["role"].capitalize(), system.get("name")]))


def plural(number: int, noun: str) -> str:
    """1 thread, 2 threads."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def headline(metrics: Mapping[str, Any]) -> list[list[Part]]:
    """What came out, in one sentence, and what distillation was worth in another where there is a baseline."""
    ratios, systems = metrics["ratios"], metrics["systems"]
    teacher, student = systems["teacher"], systems["student"]
    threads = plural(metrics["settings"]["threads"], "thread")
    first = [
        Part("With "),
        Part(f"{100 * ratios['parameters_vs_teacher']:.1f}%", True),
        Part(" of the teacher’s parameters the student keeps "),
        Part(f"{100 * ratios['chrf_vs_teacher']:.1f}%", True),
        Part(f" of its chrF ({student['chrf']:.1f} against {teacher['chrf']:.1f}) and translates "),
        Part(f"{ratios['speedup_vs_teacher']:.1f} times", True),
        Part(
            f" as many sentences a second: {rate(student['sentences_per_second'])} "
            f"({decoding(student['beam'])}) against {rate(teacher['sentences_per_second'])} "
            f"({decoding(teacher['beam'])}), both on {threads}."
        ),
    ]
    return [first, *_worth(metrics)]


def _worth(metrics: Mapping[str, Any]) -> list[list[Part]]:
    pairs = {(row["system"], row["against"]): row["chrf"] for row in metrics["comparisons"]}
    found = pairs.get(("student", "baseline"))
    if found is None:
        return []
    direction = "above" if found["difference"] >= 0 else "below"
    low, high = sorted(abs(bound) for bound in found["interval"])
    bounds = (
        f"95% interval {low:.1f} to {high:.1f}"
        if found["interval"][0] * found["interval"][1] > 0
        else f"95% interval {interval(found['interval'], signed=True)}, so chance may explain it"
    )
    baseline = metrics["systems"]["baseline"]["chrf"]
    return [
        [
            Part(f"Trained on the references alone, {same_student(metrics['stages'])} reaches "),
            Part(
                f"{baseline:.1f} chrF; the distilled one is {abs(found['difference']):.1f} {direction} that ({bounds})."
            ),
        ]
    ]
