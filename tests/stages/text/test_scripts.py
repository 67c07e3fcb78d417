"""Every measure of text in ten scripts, by cases made and counted by hand."""

import pytest

from stages.text import measures

# One sentence a script: "The connection to the device could not be established. Please try again."
SENTENCES = {
    "Latin": "Die Verbindung zum Gerät konnte nicht hergestellt werden. Bitte erneut versuchen.",
    "Cyrillic": "Не удалось установить соединение с устройством. Повторите попытку.",
    "Greek": "Δεν ήταν δυνατή η σύνδεση με τη συσκευή. Δοκιμάστε ξανά.",
    "Han": "无法与设备建立连接。请重试。",
    "Kana": "デバイスに接続できませんでした。もう一度お試しください。",
    "Hangul": "기기에 연결할 수 없습니다. 다시 시도해 주세요.",
    "Thai": "ไม่สามารถเชื่อมต่อกับอุปกรณ์ได้ โปรดลองอีกครั้ง",
    "Arabic": "تعذر الاتصال بالجهاز. يرجى المحاولة مرة أخرى.",
    "Hebrew": "לא ניתן להתחבר למכשיר. אנא נסה שוב.",
    "Devanagari": "डिवाइस से कनेक्ट नहीं हो सका। कृपया पुनः प्रयास करें।",
}
ENGLISH = "The connection to the device could not be established. Please try again."
# What a decoder in a loop says: a short piece, as the script writes it one after the other.
PIECES = {
    "Latin": "und ", "Cyrillic": "это ", "Greek": "και ", "Han": "连接", "Kana": "とは", "Hangul": "설정",
    "Thai": "การ", "Arabic": "في ", "Hebrew": "של ", "Devanagari": "और ",
}  # fmt: skip
DIGITS = {"Arabic": "٤٢", "Devanagari": "४२", "Thai": "๔๒", "Han": "４２", "Kana": "４２"}
scripts = pytest.mark.parametrize("script", SENTENCES)


@scripts
def test_a_translation_is_no_loop_no_copy_and_of_a_likely_length(script: str) -> None:
    target = SENTENCES[script]
    assert measures.repetition(target) == 0
    assert measures.source_copy(ENGLISH, target) == measures.source_copy(target, ENGLISH) == 0
    assert 0.4 < measures.length_ratio(ENGLISH, target) < 1.5
    assert measures.length_ratio(ENGLISH, target) == pytest.approx(1 / measures.length_ratio(target, ENGLISH))


@scripts
def test_a_loop_is_seen_where_it_stands_alone_and_after_a_sentence(script: str) -> None:
    loop = PIECES[script] * 40
    assert measures.repetition(loop) == pytest.approx(1)
    assert measures.repetition(f"{SENTENCES[script]} {loop}") > 0.5
    assert measures.repetition(f"{SENTENCES[script]} " * 3) == pytest.approx(1), "a sentence said three times"
    assert measures.repetition(PIECES[script] * 2) == 0, "twice is no loop"


@scripts
def test_an_untranslated_source_is_a_copy(script: str) -> None:
    source = SENTENCES[script]
    assert measures.source_copy(source, source) == 1
    assert measures.source_copy(f"{source} {{name}} 42", source.replace("。", "").replace(".", "")) == 1
    half = source[: len(source) // 2]
    assert 0.3 < measures.source_copy(source, f"{half} and so on") < 0.7  # type: ignore[operator]
    assert measures.length_ratio(source, source) == 1


@scripts
def test_numbers_are_found_among_letters_and_missed(script: str) -> None:
    target = SENTENCES[script]
    own = DIGITS.get(script, "42")
    assert measures.numbers_lost(f"{ENGLISH} 42", f"{target}{own}") == 0
    assert measures.numbers_lost(f"{target}{own}", f"{ENGLISH} 42") == 0
    assert measures.numbers_lost(f"{ENGLISH} 42", target) == measures.numbers_lost(f"{target} {own}", ENGLISH) == 1
    assert measures.numbers_lost(f"{ENGLISH} 1,250.5", f"{target} 1.250,5") == 0
    assert measures.numbers_lost(f"{ENGLISH} 1.5", f"{target} 15") == 1


@scripts
def test_placeholders_are_found_among_letters_and_missed(script: str) -> None:
    target = SENTENCES[script]
    source = f"{ENGLISH} {{name}} %s <b>｟a｠</b>"
    assert measures.placeholders_lost(source, f"{{name}}{target}%s<b>｟a｠</b>") == 0
    assert measures.placeholders_lost(source, target) == 5
    assert measures.without_placeholders(f"{{name}}{target}").strip() == target
    plural = f"{{n, plural, one {{{target}}} other {{{target} {{x}}}}}}"
    assert measures.placeholders_lost("{n, plural, one {One} other {Many {x}}}", plural) == 0
    assert measures.without_placeholders(plural).split() == [*target.split(), *target.split()]


@scripts
def test_marks_for_what_is_unknown_are_counted(script: str) -> None:
    assert measures.unknown_marks(ENGLISH, f"{SENTENCES[script]} ⁇  ⁇ ") == 2
    assert measures.unknown_marks("What ⁇", f"{SENTENCES[script]} ⁇") == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("哈哈", 0),
        ("请稍候......", 0),  # dots are one unit as long as they are few
        ("。" * 40, 1),
        ("设置" + "网络" * 20, 40 / 42),
        ("这是一个很长的句子，" * 5, 1),
        ("hahahahahahahaha", 1),
        ("verbindungs" * 8 + " ist gut", 8 / 10),
        ("http://www.example.com/aaaa", 0),
        ("XXXX-XXXX-XXXX-XXXX", 0),
        ("10000000000000", 0),  # a number
        ("ລະບົບ" * 30, 1),
        ("စနစ်" * 30, 1),
        ("ប្រព័ន្ធ" * 30, 1),
    ],
)
def test_loops_of_letters_punctuation_and_long_pieces(text: str, share: float) -> None:
    assert measures.repetition(text) == pytest.approx(share)


def test_short_texts_without_spaces_have_few_letters_and_are_still_judged() -> None:
    assert measures.source_copy("系统设置", "系统设置") == 1
    assert measures.source_copy("设置", "设置") is None
    assert measures.source_copy("IP 192.168.1.1 Port 8123 TLS 1.2", "IP 192.168.1.1 Port 8123 TLS 1.2") is None


def test_a_sign_of_han_is_worth_three_letters() -> None:
    english = "This is a very important question that we have to solve soon"
    assert measures.length_ratio("这是一个非常重要的问题", english) == pytest.approx(60 / 33)
    assert measures.length_ratio("設定", "せってい") == 1
    assert measures.length_ratio("abcdef", "설정a") == pytest.approx(5 / 6)
