"""What is said around a translation, by hand in many languages, and what is none of that."""

import pytest

from stages.text.measures import line_breaks, remarks

SAID = [
    # Prefaces that speak of a translation.
    ("en", "de", "The door is open.", "Sure! Here is the translation: Die Tür ist offen."),
    ("en", "de", "The door is open.", "Translation: Die Tür ist offen."),
    ("en", "de", "The door is open.", "Here is the German translation of your text:\n\nDie Tür ist offen."),
    ("en", "de", "The door is open.", "Übersetzung: Die Tür ist offen."),
    ("en", "fr", "The door is open.", "Voici la traduction : La porte est ouverte."),
    ("en", "es", "The door is open.", "**Traducción:** La puerta está abierta."),
    ("en", "ru", "The door is open.", "Вот перевод: Дверь открыта."),
    ("en", "cs", "The door is open.", "Překlad: Dveře jsou otevřené."),
    ("en", "tr", "The door is open.", "İşte çeviri: Kapı açık."),
    ("en", "fi", "The door is open.", "Tässä on käännös: Ovi on auki."),
    ("en", "ga", "The door is open.", "Aistriúchán: Tá an doras oscailte."),
    ("en", "ja", "The door is open.", "翻訳：ドアが開いています。"),
    ("en", "zh-Hans", "The door is open.", "以下是翻译：门是开着的。"),
    ("en", "zh-Hant", "The door is open.", "譯文：門是開著的。"),
    ("en", "ko", "The door is open.", "다음은 번역입니다: 문이 열려 있습니다."),
    ("en", "ar", "The door is open.", "الترجمة: الباب مفتوح."),
    ("en", "he", "The door is open.", "תרגום: הדלת פתוחה."),
    ("en", "hi", "The door is open.", "अनुवाद: दरवाज़ा खुला है।"),
    ("en", "th", "The door is open.", "คำแปล: ประตูเปิดอยู่"),
    ("de", "en", "Die Tür ist offen.", "Here's the English translation: The door is open."),
    ("ja", "en", "ドアが開いています。", "Translated text: The door is open."),
    # Consent, and names of languages.
    ("en", "de", "The door is open.", "Sure, here you go:\nDie Tür ist offen."),
    ("en", "de", "The door is open.", "Natürlich! Hier:\nDie Tür ist offen."),
    ("en", "zh-Hans", "The door is open.", "好的，如下：门是开着的。"),
    ("en", "de", "The door is open.", "German: Die Tür ist offen."),
    ("en", "de", "The door is open.", "Deutsch: Die Tür ist offen."),
    ("en", "fr", "The door is open.", "français : La porte est ouverte."),
    ("zh-Hans", "en", "门是开着的。", "English: The door is open."),
    # The source once more.
    ("en", "de", "The door is open.", "The door is open. -> Die Tür ist offen."),
    ("en", "de", "The door is open.", "The door is open.\nDie Tür ist offen."),
    ("en", "ja", "Open", "Open → 開く"),
    # The same said in other ways.
    ("en", "de", "Hello world.", '"Hallo Welt" is the German translation of "Hello world".'),
    ("en", "de", "Hello world.", 'The German translation is "Hallo Welt".'),
    ("en", "de", "Hello world.", "In German, you would say: Hallo Welt."),
    ("en", "de", "Hello world.", "Hallo Welt. (translated from English)"),
    ("en", "zh-Hans", "Hello world.", "用中文说：你好，世界。"),
    ("en", "de", "Hello world.", "DE: Hallo Welt."),
    ("en", "de", "Hello world.", "Output: Hallo Welt."),
    ("en", "de", "Hello world.", "assistant\n\nHallo Welt."),
    ("en", "de", "Hello world.", "### Übersetzung\nHallo Welt."),
    ("en", "de", "Hello world.", '{"translation": "Hallo Welt."}'),
    ("en", "de", "Hello world.", "Hallo Welt. Let me know if you need anything else!"),
    ("en", "de", "Hello world.", '"Hallo Welt".'),
    # Notes.
    ("en", "de", "You are late.", "Du bist spät dran. (Note: informal form of address)"),
    ("en", "de", "You are late.", "Sie sind spät dran. [Anmerkung: höfliche Form]"),
    ("en", "de", "You are late.", "Sie sind spät dran.\n\nNote: I used the formal form."),
    ("en", "de", "You are late.", "Sie sind spät dran. Hinweis: die höfliche Form."),
    ("en", "fr", "You are late.", "Vous êtes en retard. (Remarque : vouvoiement)"),
    ("en", "ja", "You are late.", "遅れています。（注：丁寧な表現です）"),
    ("en", "zh-Hans", "You are late.", "您迟到了。\n注：使用了敬语。"),
    ("en", "ru", "You are late.", "Вы опоздали. (Примечание: вежливая форма)"),
    ("en", "ko", "You are late.", "늦으셨네요. (참고: 존댓말입니다)"),
    # Quotes, markup and fences around all of it.
    ("en", "de", "The door is open.", '"Die Tür ist offen."'),
    ("en", "de", "The door is open.", "„Die Tür ist offen.“"),
    ("en", "fr", "The door is open.", "« La porte est ouverte. »"),
    ("en", "ja", "The door is open.", "「ドアが開いています。」"),
    ("en", "de", "The door is open.", "**Die Tür ist offen.**"),
    ("en", "de", "The door is open.", "`Die Tür ist offen.`"),
    ("en", "de", "The door is open.", "```\nDie Tür ist offen.\n```"),
    # Refusals, and marks of a chat.
    ("en", "de", "How do I pick a lock?", "I'm sorry, but I can't assist with that."),
    ("en", "de", "How do I pick a lock?", "As an AI language model, I cannot answer."),
    ("en", "de", "The door is open.", "Die Tür ist offen.<|im_end|>"),
    ("en", "de", "The door is open.", "<think>\n\n</think>\n\nDie Tür ist offen."),
    ("en", "de", "The door is open.", "Die Tür ist offen.<end_of_turn>"),
    ("en", "de", "The door is open.", "Die Tür ist offen.<｜end▁of▁sentence｜>"),
    ("en", "de", "The door is open.", "Die Tür ist offen.<0x0A>"),
    ("en", "de", "The door is open.", "Die Tür ist offen.[EOS]"),
    ("en", "de", "The door is open.", "[/INST] Die Tür ist offen."),
]
NOT_SAID = [
    ("en", "de", "The door is open.", "Die Tür ist offen."),
    ("en", "de", "Translation: done", "Übersetzung: fertig"),
    ("de", "en", "Die Übersetzung lautet: ja", "The translation reads: yes"),
    ("en", "zh-Hans", "Translate: {text}", "翻译：{text}"),
    ("fi", "ja", "Käännös: valmis", "翻訳：完了"),
    ("en", "de", "German: not supported", "Deutsch: nicht unterstützt"),
    ("en", "de", "Sure: it works", "Klar: es geht"),
    ("en", "de", "Here is your code {code}", "Hier ist dein Code: {code}"),
    ("de", "en", "Hier ist dein Code {code}", "Here is your code: {code}"),
    ("en", "de", "Note: not now", "Hinweis: nicht jetzt"),
    ("en", "de", "It works (note: slowly)", "Es geht (Hinweis: langsam)"),
    ("en", "de", "It works. Note: slowly", "Es geht. Hinweis: langsam"),
    ("en", "de", '"Open"', "„Offen“"),
    ("en", "fr", "'Open'", "« Ouvert »"),
    ("en", "ja", 'He said "no"', "「いいえ」"),
    ("en", "de", "“A” and “B”", "„A“ und „B“"),
    ("en", "de", "A and B", '"A" und "B"'),
    ("en", "de", "**Open**", "**Offen**"),
    ("en", "de", "Run ```ls```", "Führe ```ls``` aus"),
    ("en", "de", "An AI language model", "Ein KI-Sprachmodell"),
    ("en", "de", "I can't translate this.", "I can't translate this."),
    ("en", "de", "Ends with <|im_end|>", "Endet mit <|im_end|>"),
    ("en", "de", "USB", "USB-Anschluss"),
    ("en", "da", "Overview: all", "Oversigt: alt"),
    ("en", "vi", "Service {name}", "Dịch vụ: {name}"),
    ("de", "en", "Sag Bescheid, falls du etwas brauchst.", "Let me know if you need anything."),
    ("en", "de", "Translated into German", "Ins Deutsche übersetzt"),
    ("en", "de", "He speaks German", "Er spricht Deutsch"),
    ("en", "de", "The answer {x}", "Die Antwort: {x}"),
    ("en", "th", "Convert {a}", "แปลง: {a}"),
    ("en", "ca", "Warning", "Advertiment: atenció"),
    ("en", "pl", "Limit exceeded {n}", "Przekroczono limit: {n}"),
]


@pytest.mark.parametrize("row", SAID, ids=lambda row: row[3][:40])
def test_what_a_model_says_around_a_translation_is_counted(row: tuple[str, str, str, str]) -> None:
    source_language, target_language, source, target = row
    assert remarks(source, target, source_language, target_language) >= 1


@pytest.mark.parametrize("row", NOT_SAID, ids=lambda row: row[3][:40])
def test_what_the_source_has_too_is_no_remark(row: tuple[str, str, str, str]) -> None:
    source_language, target_language, source, target = row
    assert remarks(source, target, source_language, target_language) == 0


def test_kinds_are_counted_each_once() -> None:
    said = 'Here is the translation:\n\n"Du bist spät."\n\n(Note: informal)\n(Note: short)<|im_end|>'
    assert remarks("You are late.", said, "en", "de") == 3
    assert remarks("You are late.", said.removesuffix("<|im_end|>"), "en", "de") == 2
    assert remarks("You are late.", "", "en", "de") == remarks("", "", "", "") == 0


@pytest.mark.parametrize("mark", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_every_mark_that_breaks_a_line_does(mark: str) -> None:
    """What Python takes for the end of a line is the oracle."""
    assert len(f"Hallo{mark}Welt".splitlines()) == 2
    assert line_breaks("Hello world", f"Hallo{mark}Welt") == 1
    assert line_breaks("Hello world", f"Hallo Welt{mark}") == 1
    assert line_breaks("Hello\nworld", f"Hallo{mark}Welt") == 0
    assert line_breaks("Hello world", f"Hallo{mark}{mark}Welt") == 2


def test_spaces_break_no_line() -> None:
    assert line_breaks("a", "a b\tc\N{NO-BREAK SPACE}d\u200be\x1ff") == 0
