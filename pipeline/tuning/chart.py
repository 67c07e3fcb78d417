"""The plot of a sweep: how it went on, how its trainings went, and how the metric hangs on each thing varied."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data.local import write_atomically
from pipeline.tuning.results import Results, best_of, columns, ranked, short_name
from pipeline.tuning.space import toml_text
from pipeline.tuning.study import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE = "tune.svg"
_BEST, _DONE, _PRUNED, _LINE = "#c2410c", "#1d4ed8", "#9ca3af", "#e5e7eb"
_ACROSS = 3
_WIDTH, _HEIGHT = 4.0, 2.9


def save_chart(results: Results) -> None:
    """Writes tune.svg where there is anything to draw."""
    if any(row.value is not None or row.curve for row in results.rows):
        write_atomically(results.folder / FILE, sweep_chart(results).encode())


def sweep_chart(results: Results) -> str:
    """An SVG file. Equal results give equal bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "tune",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
    }
    keys = columns(results.rows)
    down = math.ceil((2 + len(keys)) / _ACROSS)
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH * _ACROSS, _HEIGHT * down), layout="constrained")
        _draw(figure, results, keys, down)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _draw(figure: "Figure", results: Results, keys: Sequence[str], down: int) -> None:
    places = list(figure.subplots(down, _ACROSS, squeeze=False).ravel())
    for place in places:
        place.grid(axis="y", color=_LINE, linewidth=0.8)
    _draw_course(places[0], results)
    _draw_curves(places[1], results)
    for key, place in zip(keys, places[2:], strict=False):
        _draw_slice(place, results, key)
    for place in places[2 + len(keys) :]:
        place.set_visible(False)


def _draw_course(axes: "Axes", results: Results) -> None:
    """Every trial's value, and the best so far."""
    from matplotlib.ticker import MaxNLocator

    done = [row for row in results.rows if row.value is not None]
    best = [best_of(done[: count + 1], results.tune) for count in range(len(done))]
    axes.step(
        [row.number for row in done],
        [_value(row) for row in best if row is not None],
        where="post",
        color=_BEST,
        linewidth=1.2,
    )
    _dots(axes, [float(row.number) for row in done], done, results)
    for row in results.rows:
        if row.state == "pruned":
            axes.axvline(row.number, color=_PRUNED, linewidth=0.8, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_title(f"{results.tune.metric}, {results.tune.better}")
    axes.set_xlabel("trial (dotted: pruned; line: best so far)")


def _draw_curves(axes: "Axes", results: Results) -> None:
    """What validations found, step by step."""
    best = results.best
    for row in reversed(ranked(results.rows, results.tune)):
        if not row.curve:
            continue
        colour = _BEST if row is best else _DONE if row.state == "done" else _PRUNED
        style = "-" if row.state == "done" else ":"
        axes.plot(list(row.curve), list(row.curve.values()), style, color=colour, linewidth=1.2, alpha=0.8)
        axes.plot(list(row.curve)[-1:], list(row.curve.values())[-1:], ".", color=colour)
    axes.set_title(results.tune.watched)
    axes.set_xlabel("step of the training (dotted: pruned)")


def _draw_slice(axes: "Axes", results: Results, key: str) -> None:
    """The metric over one thing that was varied."""
    done = [row for row in results.rows if row.value is not None and key in row.settings]
    dimension = results.tune.space.get(key)
    if dimension is not None and dimension.low is not None:
        _dots(axes, [float(row.settings[key]) for row in done], done, results)
        if dimension.log:
            _round_logarithmic(axes)
    else:
        values = sorted({toml_text(row.settings[key]) for row in done}, key=lambda text: (len(text), text))
        _dots(axes, [float(values.index(toml_text(row.settings[key]))) for row in done], done, results)
        axes.set_xticks(range(len(values)), values)
        axes.margins(x=0.2)
    share = results.importances.get(key)
    axes.set_title(short_name(key, columns(results.rows)))
    axes.set_xlabel("" if share is None else f"{share:.0%} of what moves {results.tune.metric}")


def _dots(axes: "Axes", places: Sequence[float], rows: Sequence[Row], results: Results) -> None:
    best = results.best
    for place, row in zip(places, rows, strict=True):
        is_best = best is not None and row.number == best.number
        axes.plot([place], [_value(row)], "o", color=_BEST if is_best else _DONE, markersize=6 if is_best else 4.5)


def _round_logarithmic(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _value(row: Row) -> float:
    return math.nan if row.value is None else row.value
