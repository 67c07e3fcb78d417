"""Numbers, times and dates: pairs that say the same, and pairs that do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.text.numbers import count_lost

SAME = [
    ("12:30 pm", "12.30 Uhr"), ("at 12:30", "12時30分"), ("12時30分", "12:30"), ("3:30 pm", "15:30 Uhr"),
    ("3 pm", "15:00"), ("15:30", "下午3:30"), ("오후 3시 30분", "15:30"), ("3:30 p.m.", "15 h 30"), ("08:05", "8:05"),
    ("12:00 am", "0:00"), ("10:15:30", "10.15.30"),
    ("2024-01-31", "31.01.2024"), ("01/31/2024", "31. Januar 2024"), ("2024年1月31日", "January 31, 2024"),
    ("1,250", "1.250"), ("1.250", "1250"), ("1 000", "1,000"), ("32 768.5", "32.768,5"), ("1'000", "1000"),
    ("1,00,000 rupees", "100 000"), ("1.000,50", "1,000.50"), ("1,234,567", "1.234.567"), ("12,50 €", "12.50"),
    ("1\N{NARROW NO-BREAK SPACE}000", "1.000"), ("12.5", "12.50"), ("٣٫٥", "3.5"), ("١٬٢٥٠", "1250"),
    ("३ of 5", "3 von 5"),
    ("1½ cups", "1,5"), ("½", "1/2"), ("-5 °C", "minus 5 Grad"), ("−5 °C", "-5 °C"), ("-5", "‎-5 מעלות"),
    ("a value of -1", "値は-1です"), ("of -1", "「-1」"),
    ("16進数", "hexadecimal"), ("5-10", "5–10"),
    ("3 items", "三个"), ("1 つ以上", "one or more"), ("at 5 100", "5 und 100"), ("1,2,3", "1, 2, 3"),
    ("2024년 1월 31일", "31 January 2024"), ("192.168.1.1", "192.168.1.1 です"),
    ("version 1.2.3", "Version 1.2.3"), ("16:9", "16:9"),
    ("CO2 over 10\N{SUPERSCRIPT TWO}", "CO\N{SUBSCRIPT TWO} über 102"),
]  # fmt: skip
OTHER = [
    ("1.5 mg", "15 mg"), ("12.50", "1250"), ("version 1.2.3", "12.3"), ("10:30", "9:30"), ("10:30", "10:03"),
    ("10.30 Uhr", "1030"), ("0.500", "500"), ("90%", "9%"), ("7", "12.7"), ("-5 °C", "5 °C"), ("5 °C", "-5 °C"),
    ("192.168.1.1", "192.168.11"), ("3:30 pm", "4:30 pm"), ("3 am", "15:00"), ("2024-01-31", "2023-01-31"),
    ("1,250.50", "1.250"), ("1,000,000", "1,000"), ("٣٫٥", "35"), ("1.234", "12.34"), ("3", "four"),
    ("port 8123", "8132"), ("2024-01-31", "2024-01-30"), ("10:15:30", "10:15:20"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), SAME)
def test_the_same_in_other_words(source: str, target: str) -> None:
    assert count_lost(source, target) == 0


@pytest.mark.parametrize(("source", "target"), OTHER)
def test_another_number(source: str, target: str) -> None:
    assert count_lost(source, target) == 1


def test_each_is_counted_as_often_as_it_occurs() -> None:
    assert count_lost("3 of 3", "drei von 3") == 1
    assert count_lost("1, 2 and 3", "nichts") == 3
    assert count_lost("10:00 to 11:00", "11:00") == 1
    assert count_lost("nothing", "7 and 8") == 0


@given(st.text(alphabet="0123456789.,:'’٫٬⁄½²①٣-–/ aapm時下午\u200f\u00a0", max_size=60))
def test_whatever_stands_there_it_is_found_in_itself(text: str) -> None:
    assert count_lost(text, text) == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_ends_in_an_error(source: str, target: str) -> None:
    assert count_lost(source, target) >= 0


def test_a_number_of_many_digits_is_compared_and_takes_no_time() -> None:
    digits = "1234567890" * 7_000
    assert count_lost(digits, digits) == 0
    assert count_lost(digits, digits[:-1]) == 1
