"""Placeholders of many formats, and ICU's nesting, against counts by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.text.measures import placeholders_lost, without_placeholders
from stages.text.placeholders import parse


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("{n, plural, one {file} other {files}}", "{n, plural, one {Datei} other {Dateien}}", 0),
        (
            "{n, plural, one {# in {x}} other {# in {x}}}",
            "{n, plural, one {a {x}} few {b {x}} many {c {x}} other {{x}}}",
            0,
        ),
        ("{n, plural, one {in {x}} other {in {x}}}", "{n, plural, one {a} other {b}}", 1),
        ("{n, plural, one {file} other {files}}", "Dateien", 1),
        ("{n, plural, offset:1 =0 {none} one {file} other {files}}", "{n,plural,=0{keine} one{eine} other{viele}}", 0),
        ("{g, select, male {He} female {She} other {They}} left", "{g, select, male {Er} other {Sie}} ging", 0),
        (
            "{a, plural, one {{b, select, x {X} other {Y}}} other {Z}}",
            "{a, plural, one {{b, select, other {Q}}} other {R}}",
            0,
        ),
        ("{a, plural, one {{b, select, x {X} other {Y}}} other {Z}}", "{a, plural, one {Q} other {R}}", 1),
        ("{when, date, short} and {sum, number}", "{sum, number} und {when, date, long}", 0),
        ("{n, plural, one {file} other {files}", "{n} Dateien", 2),  # never closed: what can be told of it
        ("｟a｠ and ｟b｠", "｟b｠", 1),
        ("a <0>b</0> <1/>", "c <0>d</0>", 1),
        ("{ name } {{ value }}", "{{value}} {name}", 0),
        ("%{name} and %name% and %1$s", "%1$s", 2),
        ("%10'undan az", "10", 0),  # Turkish writes the sign first
        ("See [the docs]({url})", "請參閱【文件】（{url}）", 0),
        ("See [the docs]({url}#part)", "Siehe [die Hilfe]( {url} #part )", 0),
        ("See [the docs]({url}#part)", "Siehe [die Hilfe]({url}#teil)", 1),
        ("See [the docs]({url})", "Siehe die Hilfe", 1),
        ("See [the docs](/help)", "Siehe [die Hilfe](/hilfe)", 1),
    ],
)
def test_what_is_lost(source: str, target: str, lost: int) -> None:
    assert placeholders_lost(source, target) == lost


def test_branches_are_text() -> None:
    text = "You have {n, plural, one {# file in {x}} other {# files}} now"
    assert without_placeholders(text).split() == ["You", "have", "#", "file", "in", "#", "files", "now"]
    assert parse(text).placeholders == ("{n,plural", "{x}")


@given(st.text(alphabet="{},=#% abnplural selectother[]()<>/&;｟｠", max_size=80))
def test_no_text_ends_in_an_error_and_none_loses_anything_to_itself(text: str) -> None:
    assert placeholders_lost(text, text) == 0


@pytest.mark.parametrize("piece", ["{n, plural, one {", "{", "{{", "<a ", "｟", "](", "%("])
def test_a_text_of_nothing_but_beginnings_takes_no_time(piece: str) -> None:
    started = time.process_time()
    parse(piece * (60_000 // len(piece)))
    assert time.process_time() - started < 5
