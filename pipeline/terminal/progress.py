"""How far a run is: bars on a terminal, plain lines in a log. Both are told the same."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.terminal.remaining import Ahead, Remaining

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_SECONDS = 5.0


class Display(Protocol):
    """Who shows a run. `done` and `total` count rows for shard stages and the stage's own unit for others."""

    def expect(self, ahead: Mapping[str, Ahead]) -> None:
        """What the run will do, in order: from then on the time left of all of it is shown, once it is known."""

    def start(self, stage: str, done: int, total: int | None) -> None:
        """A stage begins, `done` of it from an earlier run."""

    def update(self, stage: str, done: int, total: int | None, extras: Mapping[str, float]) -> None:
        """A stage went on; `extras` such as {"tokens_per_second": 812.5, "loss": 2.31}."""

    def finish(self, stage: str, state: str) -> None:
        """A stage ended: `done`, `failed` or `stopped`."""

    def note(self, text: str) -> None:
        """A line for the reader, such as a shard that is tried again."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass
class _Meter:
    """One stage's progress since it began."""

    started: float
    done: int
    total: int | None
    extras: Mapping[str, float] = field(default_factory=dict)
    told: float = 0.0


class PlainDisplay:
    """A line when a stage begins and ends, and one every few seconds between."""

    def __init__(
        self,
        write: Callable[[str], None],
        interval: float = LINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._interval = interval
        self._clock = clock
        self._meters: dict[str, _Meter] = {}
        self._remaining = Remaining()

    def expect(self, ahead: Mapping[str, Ahead]) -> None:
        """Lines have the time left of the whole run, once it is known."""
        self._remaining = Remaining(ahead)

    def start(self, stage: str, done: int, total: int | None) -> None:
        """Writes what the stage begins with."""
        now = self._clock()
        self._meters[stage] = _Meter(now, done, total, told=now)
        self._remaining.start(stage, now)
        found = f", {done:,} of {total:,} are there already" if done and total else ""
        self._write(f"{stage}: begins{found}")

    def update(self, stage: str, done: int, total: int | None, extras: Mapping[str, float]) -> None:
        """Writes a line when the last one is old enough."""
        meter = self._meters[stage]
        meter.done, meter.total, meter.extras = done, total, extras
        now = self._clock()
        self._remaining.update(stage, done, total, now)
        if now - meter.told < self._interval:
            return
        meter.told = now
        left = self._remaining.seconds(now)
        whole = f"the whole run {clock_text(left)} more" if left is not None else ""
        parts = [amount(done, total), *extra_texts(extras), whole]
        self._write(f"{stage}: {', '.join(part for part in parts if part)}")

    def finish(self, stage: str, state: str) -> None:
        """Writes how the stage ended."""
        meter, now = self._meters.pop(stage), self._clock()
        self._remaining.finish(stage, now)
        parts = [amount(meter.done, meter.total) if meter.done else "", *extra_texts(meter.extras)]
        details = "".join(f", {part}" for part in parts if part)
        self._write(f"{stage}: {state} after {clock_text(now - meter.started)}{details}")

    def note(self, text: str) -> None:
        """Writes the line."""
        self._write(text)

    def close(self) -> None:
        """Writes nothing."""


class BarDisplay:
    """One bar a stage, by rich."""

    def __init__(self, console: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[amount]}"),
            TextColumn("{task.fields[extras]}", style="cyan"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._clock, self._began = clock, clock()
        self._remaining = Remaining()
        self._run = self._bars.add_task("the whole run", total=None, visible=False, amount="", extras="", state="")
        self._bars.start()

    def expect(self, ahead: Mapping[str, Ahead]) -> None:
        """A bar of its own has the time left of the whole run, once it is known."""
        self._remaining = Remaining(ahead)

    def start(self, stage: str, done: int, total: int | None) -> None:
        """Adds a bar."""
        self._tasks[stage] = self._bars.add_task(
            stage, total=total, completed=done, amount=amount(done, total) if total else "", extras="", state=""
        )
        self._remaining.start(stage, self._clock())

    def update(self, stage: str, done: int, total: int | None, extras: Mapping[str, float]) -> None:
        """Moves the bar."""
        details = " ".join(extra_texts(extras))
        self._bars.update(self._tasks[stage], completed=done, total=total, amount=amount(done, total), extras=details)
        now = self._clock()
        self._remaining.update(stage, done, total, now)
        left = self._remaining.seconds(now)
        if left is not None:
            made = now - self._began
            said = f"{clock_text(left)} left"
            self._bars.update(self._run, visible=True, completed=made, total=made + left, amount=said)
        elif self._bars.tasks[0].visible:
            self._bars.update(self._run, total=None, amount="")

    def finish(self, stage: str, state: str) -> None:
        """Fills the bar when the stage is done, and stops its clock."""
        task = self._bars.tasks[self._bars.task_ids.index(self._tasks[stage])]
        if state == "done":
            total = task.total or task.completed or 1
            self._bars.update(task.id, completed=total, total=total)
        colour = "green" if state == "done" else "red"
        self._bars.update(task.id, state=f"[{colour}]{state}[/]")
        self._bars.stop_task(task.id)
        self._remaining.finish(stage, self._clock())

    def note(self, text: str) -> None:
        """Prints the line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leaves the bars as they stand."""
        self._bars.stop()


class LabelledDisplay:
    """Tells a display of one of several graphs that run side by side: its label stands before every stage."""

    def __init__(self, display: Display, label: str) -> None:
        self._display, self._label = display, label

    def expect(self, ahead: Mapping[str, Ahead]) -> None:
        """Nothing: of several graphs none is the whole."""

    def start(self, stage: str, done: int, total: int | None) -> None:
        """As the display does."""
        self._display.start(f"{self._label}, {stage}", done, total)

    def update(self, stage: str, done: int, total: int | None, extras: Mapping[str, float]) -> None:
        """As the display does."""
        self._display.update(f"{self._label}, {stage}", done, total, extras)

    def finish(self, stage: str, state: str) -> None:
        """As the display does."""
        self._display.finish(f"{self._label}, {stage}", state)

    def note(self, text: str) -> None:
        """As the display does."""
        self._display.note(f"{self._label}: {text}")

    def close(self) -> None:
        """Leaves the display open for the others."""


def amount(done: int, total: int | None) -> str:
    """`1,024 of 22,440`, or `1,024` when the total is not known."""
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


def extra_texts(extras: Mapping[str, float]) -> list[str]:
    """`{"tokens_per_second": 812.5, "loss": 2.31}` -> `["812 tokens/s", "loss 2.31"]`."""
    texts = []
    for name, value in extras.items():
        unit = name.removesuffix("_per_second").replace("_", " ")
        rate = name.endswith("_per_second")
        number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        texts.append(f"{number} {unit}/s" if rate else f"{unit} {number}")
    return texts


def clock_text(seconds: float) -> str:
    """`0:42`, `12:05`, `1:02:09`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
