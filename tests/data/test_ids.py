"""Identity of rows and splits: known answers, for every id and every split of every user hangs on them."""

import subprocess

import numpy as np
import pytest

from data.ids import fold, near, normalise, row_id, split_point, text_digest


def test_an_id_is_blake2b_of_languages_and_source() -> None:
    text = "en\x1fde\x1fTurn on {name}"
    oracle = subprocess.run(["b2sum", "-l", "128"], input=text, capture_output=True, text=True, check=True)
    assert row_id("en", "de", "Turn on {name}") == oracle.stdout.split()[0] == "1dac0e4dd9dc87d7580a66182b1c4ae8"


def test_languages_and_source_do_not_run_into_each_other() -> None:
    assert (
        len({row_id("en", "de", "x"), row_id("de", "en", "x"), row_id("en", "dex", ""), row_id("e", "nde", "x")}) == 4
    )


@pytest.mark.parametrize(
    ("text", "normal"),
    [("  a\t\nb  ", "a b"), ("e\u0301", "\u00e9"), ("a\u00a0b\u2003c", "a b c"), ("ﬁ {name}", "ﬁ {name}"), (" ", "")],
)
def test_text_is_composed_and_its_whitespace_folded(text: str, normal: str) -> None:
    assert normalise(text) == normal
    assert normalise(normalise(text)) == normal


@pytest.mark.parametrize("text", ["STRASSE  on", "straße on", "Strasse\non", "ｓtrasse on"])
def test_sources_that_differ_in_case_width_and_whitespace_are_on_one_side(text: str) -> None:
    assert fold(text) == "strasse on"
    assert split_point(text) == split_point("strasse on")


def test_the_split_point_is_the_first_eight_bytes_of_the_hash() -> None:
    oracle = subprocess.run(["b2sum", "-l", "128"], input="turn on", capture_output=True, text=True, check=True)
    assert split_point("Turn on") == int(oracle.stdout[:16], 16) / 2**64


def test_split_points_are_spread_evenly() -> None:
    points = np.array([split_point(f"sentence {number}") for number in range(4000)])
    assert points.min() >= 0
    assert points.max() < 1
    counts, _ = np.histogram(points, bins=10, range=(0, 1))
    # Chi-squared with 9 degrees of freedom: above 27.9 once in a thousand tables of random numbers.
    assert ((counts - 400) ** 2 / 400).sum() < 27.9


@pytest.mark.parametrize(
    "twin",
    [
        "\ufeffHello it's on",
        "Hel\u200blo it's on",
        "Hel\u00adlo it's on",
        "hello it's on.",
        "“Hello it’s on”",
        "Hello it 's on !",
        "Hello it &apos;s on",
        "&amp;quot;Hello it&#39;s on&amp;quot;",
        "**Hello** it's on…",
        "¡Ｈello it`s on!",
        "Hello\u200f it's\u2028on",
    ],
)
def test_a_text_is_known_again_however_it_was_written_down(twin: str) -> None:
    assert near(twin) == near("Hello it's on")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5 mg", "15 mg"),
        ("at 12:30", "at 1230"),
        ("10-20", "1020"),
        ("٣٫٥", "٣٥"),
        ("-5 °C", "5 °C"),
        ("C#", "C"),
        ("50 %", "50"),
        ("می‌خواهم", "میخواهم"),
        ("क्‍ष", "क्ष"),
        ("résumé", "resume"),
        ("!!!", "???"),
        ("👍", "👎"),
    ],
)
def test_what_means_something_else_is_another_text(one: str, other: str) -> None:
    assert near(one) != near(other)


def test_a_range_is_the_same_with_every_dash() -> None:
    assert near("pages 10–20") == near("pages 10-20") != near("pages 10 20")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("de-DE", "de", True), ("pt_BR", "pt-PT", True), ("zh-CN", "zh-Hans", True), ("zh-TW", "zh-Hans", False)],
)
def test_regional_tags_of_a_language_meet_and_scripts_do_not(one: str, other: str, same: bool) -> None:
    assert (text_digest(one, "x") == text_digest(other, "x")) == same
