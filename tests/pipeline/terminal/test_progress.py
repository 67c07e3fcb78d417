import io

from rich.console import Console

from pipeline.terminal.progress import BarDisplay, PlainDisplay, clock_text, extra_texts
from pipeline.terminal.remaining import Ahead


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_every_few_seconds_with_speed_and_what_is_left_of_the_whole_run() -> None:
    lines: list[str] = []
    clock = Clock()
    display = PlainDisplay(lines.append, interval=5, clock=clock)
    ahead = {"decode": Ahead(steady=True), "select": Ahead(("decode",), seconds=30, measured=True)}
    display.expect(ahead)
    display.start("decode", 1_000, 3_000)
    for second in range(1, 17):
        clock.now = second
        display.update("decode", 1_000 + 100 * second, 3_000, {"tokens_per_second": 1234.5})
    display.finish("decode", "done")
    assert lines == [
        "decode: begins, 1,000 of 3,000 are there already",
        "decode: 1,500 of 3,000, 1,234 tokens/s",
        "decode: 2,000 of 3,000, 1,234 tokens/s",
        # 100 rows a second, seen for more than ten: 500 more take 5 seconds, and what comes after it 30.
        "decode: 2,500 of 3,000, 1,234 tokens/s, the whole run 0:35 more",
        "decode: done after 0:16, 2,600 of 3,000, 1,234 tokens/s",
    ]


def test_nothing_is_promised_when_the_total_is_not_known() -> None:
    lines: list[str] = []
    clock = Clock()
    display = PlainDisplay(lines.append, interval=5, clock=clock)
    display.start("student", 0, None)
    clock.now = 6
    display.update("student", 40, None, {"loss": 2.3456})
    assert lines[1:] == ["student: 40, loss 2.35"]


def test_bars_show_a_line_a_stage_and_notes_above() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    display = BarDisplay(console)
    display.start("decode", 0, 100)
    display.start("student", 0, None)
    display.note("stage decode, shard [train-00001]: tried again")
    display.update("decode", 50, 100, {"tokens_per_second": 2000.0})
    display.finish("decode", "done")
    display.finish("student", "failed")
    display.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "shard [train-00001]: tried again" in text
    assert "50 of 100" in text
    assert "2,000 tokens/s" in text
    assert "done" in text
    assert "failed" in text


def test_a_bar_of_its_own_shows_the_whole_run_once_that_is_known() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    clock = Clock()
    display = BarDisplay(console, clock)
    display.expect({"student": Ahead(steady=True), "report": Ahead(("student",), seconds=40, measured=True)})
    display.start("student", 0, 100)
    for second in range(1, 31):
        clock.now = second
        display.update("student", second, 100, {})
        if second == 9:
            display._bars.refresh()
            assert "whole run" not in console.file.getvalue()  # type: ignore[attr-defined]
    display.close()
    # A step a second: 70 of the training, and 40.
    assert "1:50 left" in console.file.getvalue().split("the whole run")[-1]  # type: ignore[attr-defined]


def test_times_and_extras_read_well() -> None:
    assert [clock_text(seconds) for seconds in (42, 725, 3729)] == ["0:42", "12:05", "1:02:09"]
    assert extra_texts({"tokens_per_second": 812.4, "loss": 2.311}) == ["812 tokens/s", "loss 2.31"]
