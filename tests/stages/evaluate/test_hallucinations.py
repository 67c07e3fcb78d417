"""Flags of translations whose faults are known because they were made."""

import pytest
from pydantic import ValidationError

from stages.evaluate.hallucinations import Config, Row, count_flags, find_flags

ENGLISH = "The connection to the device could not be established"
GERMAN = "Die Verbindung zum Gerät konnte nicht hergestellt werden"
ROW = Row(ENGLISH, "en", "de")
CONFIG = Config()


def names(line: str, row: Row = ROW, config: Config = CONFIG) -> list[str]:
    [flags], _ = find_flags([row], [line], config)
    return [flag.name for flag in flags]


def test_a_good_translation_has_no_flag() -> None:
    assert names(GERMAN) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ["empty"]),
        ("  ", ["empty"]),
        ("Das Gerät Gerät Gerät Gerät Gerät Gerät", ["repetition"]),
        ("Nein", ["length"]),
        (ENGLISH, ["copy", "language"]),
        ("La connexion avec cet appareil n'a pas pu être établie", ["language"]),  # though nobody has named French
        ("Die Verbindungsverbindungsverbindungsverbindungsverbindungsverbindung", ["repetition"]),
    ],
)
def test_what_is_wrong_is_named(line: str, expected: list[str]) -> None:
    assert names(line) == expected


def test_another_language_is_told_apart_when_it_is_named() -> None:
    config = Config(other_languages=("fr",))
    assert names("La connexion avec cet appareil n'a pas pu être établie", config=config) == ["language"]
    with pytest.raises(ValidationError, match="lingua does not know xx"):
        Config(other_languages=("xx",))


def test_languages_of_other_rows_are_told_apart() -> None:
    swedish, danish = Row(ENGLISH, "en", "sv"), "Forbindelsen til enheden kunne ikke oprettes, prøv igen senere"
    assert names(danish, swedish) == []  # so near that nobody is told of it who has no Danish
    assert names(danish, swedish, CONFIG.among(["en", "da", "sv"])) == ["language"]
    assert Config(other_languages=("fr",)).among(["sv", "de"]).other_languages == ("de", "fr", "sv")


def test_thresholds_hold_at_their_value() -> None:
    row = Row("abcdefghij", "en", "de")
    assert names("ab", row) == []  # 0.2 of the characters
    assert names("a", row) == ["length"]
    assert names("1" * 50, row) == []
    assert names("1" * 51, row) == ["length"]
    assert names("1" * 51, row, Config(longest=6.0)) == []
    loop = "a a a b c d"  # half of the words
    assert names(loop, Row("u v w x y z", "en", "de")) == []
    assert names(loop, Row("u v w x y z", "en", "de"), Config(repetition=0.49)) == ["repetition"]


def test_counts_say_of_how_many() -> None:
    rows = [ROW, ROW, Row("Battery level", "en", "de"), ROW]
    flags, known = find_flags(rows, [ENGLISH, GERMAN, "Batterie", ""], CONFIG)
    found = count_flags(flags, known)
    assert found["any"] == {"count": 2, "of": 4}
    assert found["empty"] == {"count": 1, "of": 4}
    assert found["copy"] == {"count": 1, "of": 2}  # a source of two words is no copy, an empty text neither
    assert found["language"] == {"count": 1, "of": 2}  # and eight letters tell no language
    assert found["repetition"] == found["length"] == {"count": 0, "of": 3}  # an empty text has neither
