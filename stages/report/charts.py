"""Charts as inline SVG that take their colours and fonts from the page, so that they follow light and dark."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib draws with; each becomes a variable of the page's style.
_COLOURS = {
    "teacher": "#010101",
    "student": "#020202",
    "baseline": "#030303",
    "ink": "#040404",
    "muted": "#050505",
    "line": "#060606",
    "paper": "#070707",
}
_MAX_POINTS = 300
# Of a dot's label, as a ratio of speeds.
_LABEL_WIDTH = 2.0


@dataclass(frozen=True)
class Line:
    """A line of a chart: `role` names its colour, `points` are (x, y)."""

    role: str
    label: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    # Where on the x axis what ships was taken.
    marked: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes with lines."""

    title: str
    x_label: str
    lines: Sequence[Line]
    logarithmic: bool = False


@dataclass(frozen=True)
class Dot:
    """A system in the chart of quality and speed; `interval` is that of the quality; phones show the short label."""

    role: str
    label: str
    short_label: str
    speed: float
    quality: float
    interval: tuple[float, float]
    filled: bool = True


@dataclass(frozen=True)
class Level:
    """A step in the chart of levels; `interval` is that of the value; phones show the short label."""

    role: str
    label: str
    short_label: str
    value: float
    interval: tuple[float, float]
    filled: bool = True


@dataclass(frozen=True)
class Chart:
    """The same chart for a wide page and for a phone, each an SVG element."""

    wide: str
    narrow: str
    description: str


def line_chart(name: str, panels: Sequence[Panel], description: str) -> Chart:
    """Panels side by side, or below one another on a phone."""

    def draw(figure: "Figure", narrow: bool) -> None:
        axes = figure.subplots(len(panels) if narrow else 1, 1 if narrow else len(panels), squeeze=False).ravel()
        for panel, place in zip(panels, axes, strict=True):
            _draw_panel(place, panel)

    return _chart(name, draw, wide=(8.4, 2.9), narrow=(3.9, 2.6 * len(panels)), description=description)


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    for line in panel.lines:
        points = _thin(line.points)
        [drawn] = axes.plot([x for x, _ in points], [y for _, y in points], color=_COLOURS[line.role], linewidth=1.6)
        if line.dots:
            drawn.set_marker("o")
            drawn.set_markersize(3.5)
        chosen = [(x, y) for x, y in line.points if x in line.marked]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), "o", markersize=9, markerfacecolor="none", color=_COLOURS[line.role])
    axes.set_title(panel.title, loc="left", fontsize=10, color=_COLOURS["ink"])
    axes.set_xlabel(panel.x_label)
    if panel.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y", color=_COLOURS["line"], linewidth=0.8)


def _thin(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most so many points, the last one always among them: more cannot be seen and would fill the page."""
    step = -(-len(points) // _MAX_POINTS) or 1
    return [*points[:-1:step], *points[-1:]]


def quality_speed_chart(dots: Sequence[Dot], quality: str, description: str) -> Chart:
    """Quality against sentences a second (logarithmic), with the interval of the quality."""

    def draw(figure: "Figure", narrow: bool) -> None:
        axes = figure.subplots()
        for dot in dots:
            _draw_dot(axes, dot)
        _label_dots(axes, dots, narrow)
        axes.set_xscale("log")
        _round_log_ticks(axes, [dot.speed for dot in dots])
        axes.set_xlabel("sentences a second, more is better")
        axes.set_title(quality, loc="left", fontsize=10, color=_COLOURS["ink"])
        axes.margins(x=0.25 if narrow else 0.15, y=0.2)
        axes.grid(axis="both", which="major", color=_COLOURS["line"], linewidth=0.8)

    return _chart("quality-speed", draw, wide=(8.4, 3.4), narrow=(3.9, 3.4), description=description)


def _draw_dot(axes: "Axes", dot: Dot) -> None:
    colour = _COLOURS[dot.role]
    low, high = dot.interval
    axes.plot([dot.speed, dot.speed], [low, high], color=colour, linewidth=1.4, alpha=0.6, zorder=2)
    axes.plot(
        [dot.speed],
        [dot.quality],
        marker="o",
        markersize=8,
        color=colour,
        markerfacecolor=colour if dot.filled else _COLOURS["paper"],
        zorder=3,
    )


def _label_dots(axes: "Axes", dots: Sequence[Dot], narrow: bool) -> None:
    """Above a dot's interval; below it where a better one is about as fast, whose label is there."""
    for dot in dots:
        above = not any(other.quality > dot.quality and _near(other, dot) for other in dots)
        axes.annotate(
            dot.short_label if narrow else dot.label,
            (dot.speed, dot.interval[1] if above else dot.interval[0]),
            xytext=(0, 4 if above else -4),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="bottom" if above else "top",
            color=_COLOURS[dot.role],
        )


def _near(one: Dot, other: Dot) -> bool:
    """Whether labels of both would touch if they stood at one height."""
    return max(one.speed, other.speed) < _LABEL_WIDTH * min(one.speed, other.speed)


def level_chart(levels: Sequence[Level], quantity: str, description: str) -> Chart:
    """Step below step: each one's value with its interval, and as a bar how far it is from the one before."""

    def draw(figure: "Figure", narrow: bool) -> None:
        axes = figure.subplots()
        for row, (before, after) in enumerate(pairwise(levels), start=1):
            _draw_change(axes, row, before.value, after)
        for row, level in enumerate(levels):
            _draw_level(axes, row, level)
        axes.set_yticks(range(len(levels)), [level.short_label if narrow else level.label for level in levels])
        axes.set_ylim(len(levels) - 0.4, -0.6)
        axes.set_title(quantity, loc="left", fontsize=10, color=_COLOURS["ink"])
        axes.margins(x=0.12)
        axes.grid(axis="x", color=_COLOURS["line"], linewidth=0.8)

    height = 0.55 * len(levels) + 0.6
    return _chart("levels", draw, wide=(8.4, height), narrow=(3.9, height), description=description)


def _draw_level(axes: "Axes", row: int, level: Level) -> None:
    colour = _COLOURS[level.role]
    axes.plot(level.interval, [row, row], color=colour, linewidth=1.4, alpha=0.6, zorder=2)
    face = colour if level.filled else _COLOURS["paper"]
    axes.plot([level.value], [row], marker="o", markersize=8, color=colour, markerfacecolor=face, zorder=3)


def _draw_change(axes: "Axes", row: int, before: float, after: Level) -> None:
    change, colour = after.value - before, _COLOURS[after.role]
    axes.plot([before, before], [row - 1, row], color=_COLOURS["muted"], linewidth=0.8, zorder=1)
    axes.barh(row, change, left=before, height=0.3, color=colour, alpha=0.35, linewidth=0, zorder=1)
    axes.annotate(
        f"{change:+.1f}".replace("-", "\N{MINUS SIGN}"),
        (before + change / 2, row - 0.18),
        xytext=(0, 3),
        textcoords="offset points",
        horizontalalignment="center",
        verticalalignment="bottom",
        color=_COLOURS["ink"],
        # Of a small change the number stands on the line to the step before.
        bbox={"facecolor": _COLOURS["paper"], "edgecolor": "none", "pad": 0.5},
    )


def _round_log_ticks(axes: "Axes", values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values) / 2, max(values) * 2
    steps = [digit * 10.0**power for power in range(-3, 8) for digit in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _chart(
    name: str,
    draw: Callable[["Figure", bool], None],
    *,
    wide: tuple[float, float],
    narrow: tuple[float, float],
    description: str,
) -> Chart:
    return Chart(
        wide=_render(f"{name}-wide", lambda figure: draw(figure, False), wide),
        narrow=_render(f"{name}-narrow", lambda figure: draw(figure, True), narrow),
        description=description,
    )


def _render(name: str, draw: Callable[["Figure"], None], size: tuple[float, float]) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style(name)):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _adopt(content.getvalue())


def _style(name: str) -> dict[Any, Any]:
    return {
        # The salt gives the element ids: equal for equal input, different between the charts of a page.
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.edgecolor": _COLOURS["line"],
        "axes.labelcolor": _COLOURS["muted"],
        "axes.axisbelow": True,
        "xtick.color": _COLOURS["muted"],
        "ytick.color": _COLOURS["muted"],
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
    }


def _adopt(svg: str) -> str:
    """The <svg> element alone, sized by the page, with the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # A rule for every element, in a page of many: on the root it holds for this drawing alone.
    svg = re.sub(r"<defs>\s*<style[^>]*>\*\{(.*?)\}</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg", '<svg style="stroke-linejoin: round"', 1)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    # Most ids say what matplotlib calls the part, and would occur twice on the page.
    used = set(re.findall(r"#(\w+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    for role, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{role})")
    return svg
