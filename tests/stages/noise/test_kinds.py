"""Each kind of noise by hand, in several scripts; and what it never touches, whatever stands around it."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.noise.kept import is_free
from stages.noise.letters import in_title_case, in_upper_case, without_diacritics
from stages.noise.marks import with_doubled_spaces, without_final_mark, without_punctuation
from stages.noise.rows import followed, with_noise
from stages.noise.typos import with_typos
from stages.text.placeholders import parse

# A placeholder each that some program fills in, or reads.
PLACEHOLDERS = (
    "{name}", "{{ name }}", "${host}", "%s", "%(count)d", "%1$s", "<b>", "</b>",
    '<a href="https://x.org/a.b">', "&nbsp;",
    "https://example.org/a,b?c=d", "[%key:a::b%]", "`do_it()`", "max_tokens", "a.b@example.org", "\\n", "$t(save)",
    "{n, plural, one {# item.} other {# items.}}", "config/notes.yaml", "⦅x⦆",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "language", "raised"),
    [
        ("Turn on the light, {name}!", "en", "TURN ON THE LIGHT, {name}!"),
        ("Press <b>Submit</b> & wait", "en", "PRESS <b>SUBMIT</b> & WAIT"),
        ("Straße nach Łódź", "de", "STRASSE NACH ŁÓDŹ"),
        ("izmir ışık", "tr", "İZMİR IŞIK"),
        ("izmir", "en", "IZMIR"),
        ("Καλημέρα, άνθρωπε", "el", "ΚΑΛΗΜΕΡΑ, ΑΝΘΡΩΠΕ"),
        ("включить свет", "ru", "ВКЛЮЧИТЬ СВЕТ"),
        ("გამარჯობა", "ka", "გამარჯობა"),
        ("打开灯", "zh", "打开灯"),
        ("مرحبا", "ar", "مرحبا"),
        ("नमस्ते", "hi", "नमस्ते"),
        ("สวัสดี", "th", "สวัสดี"),
        ("see https://example.org/Path now", "en", "SEE https://example.org/Path NOW"),
        ("100 %s of it", "en", "100 %s OF IT"),
    ],
)
def test_upper_case(text: str, language: str, raised: str) -> None:
    assert in_upper_case(text, language) == raised


@pytest.mark.parametrize(
    ("text", "language", "titled"),
    [
        ("don't turn (it) off", "en", "Don't Turn (It) Off"),
        ("the NASA well-known 3rd {place}s", "en", "The NASA Well-known 3rd {place}s"),
        ("ijs eten", "nl", "IJs Eten"),
        ("istanbul ılık", "tr", "İstanbul Ilık"),
        ("ǆep", "hr", "ǅep"),
        ("打开 灯", "zh", "打开 灯"),
        ("გამარჯობა", "ka", "გამარჯობა"),
    ],
)
def test_title_case(text: str, language: str, titled: str) -> None:
    assert in_title_case(text, language) == titled


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Äpfel für Łódź, naïve", "Apfel fur Lodz, naive"),
        ("Tiếng Việt có dấu", "Tieng Viet co dau"),
        ("Το σπίτι", "Το σπιτι"),
        ("a\u0301b", "ab"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        # Here marks are letters, or parts of them.
        ("हिन्दी", "हिन्दी"),
        ("ภาษาไทย", "ภาษาไทย"),
        ("がぎ", "がぎ"),
        ("한국어", "한국어"),
        ("йод", "йод"),
        ("für {größe} %(größe)s", "fur {größe} %(größe)s"),
    ],
)
def test_missing_diacritics(text: str, bare: str) -> None:
    assert without_diacritics(unicodedata.normalize("NFC", text)) == unicodedata.normalize("NFC", bare)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("Well, it costs 3.50; really!", "Well it costs 3.50 really"),
        ("Open {file}, then %s.", "Open {file} then %s"),
        ("¿Cómo estás?", "Cómo estás"),
        ("你好，世界。", "你好世界"),
        ("مرحبا، كيف حالك؟", "مرحبا كيف حالك"),
        ("नमस्ते।", "नमस्ते"),
        ("at 10:30 (don't ask...)", "at 10:30 (don't ask)"),
        ("see example.org/a,b.", "see example.org/a,b"),
        ("Bonjour !", "Bonjour"),
        ("no marks", "no marks"),
    ],
)
def test_dropped_punctuation(text: str, without: str) -> None:
    assert without_punctuation(text) == without


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ("Hallo.", "Hallo"),
        ("¿Qué? ¿Cómo?", "¿Qué? Cómo"),
        ("Quoi !", "Quoi"),
        ("何。", "何"),
        ("nichts", "nichts"),
        ("...", "..."),
    ],
)
def test_a_last_mark_goes_with_what_began_it(target: str, left: str) -> None:
    assert without_final_mark(target) == left


def edits(one: str, other: str) -> int:
    """Of optimal string alignment: swaps of neighbours count once."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


@pytest.mark.parametrize("number", range(40))
def test_typos_are_one_edit_of_a_word_in_ten_and_leave_first_letters(number: int) -> None:
    text = "Select the device which should always connect before {another} sensor measures temperature again " * 2
    drawn = iter((number * 0.37 + step * 0.6180339887) % 1 for step in range(1000))
    words, noisy = text.split(), with_typos(text, "en", lambda: next(drawn)).split()
    different = [(one, other) for one, other in zip(words, noisy, strict=True) if one != other]
    assert len(different) == 2  # of 20 words of four letters or more
    for one, other in different:
        assert edits(one, other) == 1
        assert one[0] == other[0]
        assert len(one) > 3


def test_letters_beside_are_those_of_the_languages_keyboard() -> None:
    def typed(language: str) -> set[str]:
        numbers = [step / 50 for step in range(50)]
        # Sorted, place 1 of 4, the way of the neighbour, which neighbour.
        found = (with_typos("abcz", language, iter([0.5, 0.0, 0.99, one]).__next__)[1] for one in numbers)
        return set(found)

    assert typed("en") == set("vghn")
    assert with_typos("тест", "ru", iter([0.5, 0.0, 0.99, 0.0]).__next__)[1] in "кнапр"
    assert set(with_typos("aqua", "fr", iter([0.5, 0.0, 0.99, 0.0]).__next__)[1]) <= set("sawz")


@pytest.mark.parametrize(
    "text",
    ["打开灯光设备请", "ภาษาไทยครับ", "한국어입니다", "हिन्दुस्तान", "NASA USA", "a an the to", "12345 67890", "{name} %s"],
)
def test_what_has_no_words_to_mistype_stays(text: str) -> None:
    assert with_typos(text, "en", lambda: 0.5) == text


def test_one_space_in_five_is_doubled() -> None:
    text = "a b c d e f g h i j {x y} k"
    found = with_doubled_spaces(text, iter([(step * 0.618) % 1 for step in range(99)]).__next__)
    assert found.split() == text.split()
    assert found.count("  ") == 2
    assert with_doubled_spaces("word", lambda: 0.5) == "word"


KINDS = ("upper_case", "title_case", "typos", "dropped_punctuation", "missing_diacritics", "doubled_spaces")
WORDS = st.sampled_from(
    ["word", "größer", "Ελλάδα", "свет", "灯，", "café,", "end.", "Über", "I'm", "of", "(yes)", "no!"]
)
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from(PLACEHOLDERS)), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(KINDS), st.integers(0, 50))
def test_placeholders_are_never_spoilt(parts: list[str], kind: str, number: int) -> None:
    text = " ".join(parts)
    noisy = with_noise(text, kind, "en", f"{number:032x}", number)
    assert parse(noisy).placeholders == parse(text).placeholders
    assert [part for part in PLACEHOLDERS if part in text] == [part for part in PLACEHOLDERS if part in noisy]
    target = followed(text, kind, "de", text, noisy)
    assert parse(target).placeholders == parse(text).placeholders


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(KINDS))
def test_whatever_a_text_is_it_can_have_noise_and_keeps_its_placeholders(text: str, kind: str) -> None:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    noisy = with_noise(text, kind, "tr", "a" * 32, 1)
    assert parse(noisy).placeholders == parse(text).placeholders
    assert noisy.strip() or not text
    assert noisy == with_noise(text, kind, "tr", "a" * 32, 1)


@pytest.mark.parametrize(
    ("kind", "source", "target", "expected"),
    [
        ("upper_case", "Turn {it} on.", "Schalte {it} ein.", "SCHALTE {it} EIN."),
        ("title_case", "turn on", "mach an", "Mach An"),
        ("dropped_punctuation", "Turn it on.", "Schalte, bitte, ein.", "Schalte, bitte, ein"),
        ("dropped_punctuation", "Well, yes", "Nun, ja.", "Nun, ja."),
        ("typos", "Turn something on.", "Schalte ein.", "Schalte ein."),
        ("missing_diacritics", "Zürich", "Zürich", "Zürich"),
        ("upper_case", "打开", "turn on", "turn on"),
    ],
)
def test_a_target_follows_case_and_last_mark_alone(kind: str, source: str, target: str, expected: str) -> None:
    noisy = with_noise(source, kind, "en", "b" * 32, 3)
    assert followed(target, kind, "de", source, noisy) == expected


SPANS = st.lists(st.integers(0, 40), unique=True, max_size=12).map(lambda ends: ends[: len(ends) // 2 * 2])


@given(SPANS, st.integers(0, 40), st.integers(0, 5))
def test_what_is_free_is_what_no_span_holds(ends: list[int], start: int, length: int) -> None:
    pairs = [(one, other) for one, other in zip(*[iter(sorted(ends))] * 2, strict=True)]
    held = {place for one, other in pairs for place in range(one, other)}
    stretch = set(range(start, start + length + 1))
    assert is_free(pairs, start, start + length + 1) == stretch.isdisjoint(held)
