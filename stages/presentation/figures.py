"""Numbers as pages and cards write them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


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


def plural(number: int, noun: str) -> str:
    """1 thread, 2 threads."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def role(system: Mapping[str, Any]) -> str:
    """What a system is, and which of several teachers."""
    return " ".join(filter(None, [system["role"].capitalize(), system.get("name")]))


def system_name(system: Mapping[str, Any]) -> str:
    """The same with how it decodes, or that its translations are given, and by whom."""
    if system.get("given"):
        return f"{role(system)}, given" + (f" ({system['made_by']})" if system.get("made_by") else "")
    return f"{role(system)}, {decoding(system['beam'])}"
