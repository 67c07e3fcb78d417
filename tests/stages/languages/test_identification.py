"""Languages told apart, on sentences whose language is known."""

import pytest

from stages.languages.identification import LanguageIdentifier, known_language
from stages.languages.writing import bleu_tokenizer, chinese_form, share_in_script, ter_tokenizer

FINNISH = "Yhteyttä laitteeseen ei voitu muodostaa, yritä uudelleen"
FRENCH = [
    "La connexion à l'appareil n'a pas pu être établie",
    "Veuillez entrer votre mot de passe pour continuer",
    "Cette intégration ne peut être configurée qu'une fois",
    "Le serveur ne répond pas, réessayez plus tard",
]
SIMPLIFIED, TRADITIONAL = "连接到设备时发生错误，请检查网络设置", "連線至裝置時發生錯誤，請檢查網路設定"


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (FINNISH, "de"),
        *((text, "it") for text in FRENCH),
        (TRADITIONAL, "zh-Hans"),
        (TRADITIONAL, "zh-CN"),
        (SIMPLIFIED, "zh-Hant"),
        (SIMPLIFIED, "zh-TW"),
        ("Соединение с устройством не установлено", "gl"),  # lingua does not know it, but its script tells
        ("Соединение с устройством не установлено", "sr-Latn"),
        ("The connection to the device failed, try again", "th"),
        ("Соединение с устройством не установлено", "bg"),
    ],
)
def test_another_language_than_the_target_s(identifier: LanguageIdentifier, text: str, target: str) -> None:
    found = identifier.probability(text, "en", target)
    assert found is not None
    assert found < 0.1


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (FINNISH, "fi"),
        *((text, "fr") for text in FRENCH),
        (SIMPLIFIED, "zh-Hans"),
        (SIMPLIFIED, "zh"),
        (TRADITIONAL, "zh-Hant"),
        (TRADITIONAL, "zh-HK"),
        ("Die Verbindung zum Gerät konnte nicht hergestellt werden", "de"),
        ("Скинути щітку для країв, залиште порожнім", "uk"),  # one of its letters is taken for a sign of Kazakh
        ("Plaato AirlockをHome Assistant Cloudに接続するための設定を行います", "ja"),  # full of names
        ("Hindi makakonekta sa device, pakisubukang muli mamaya", "fil"),
        ("Tilkoblingen til enheten kunne ikke opprettes", "no"),
    ],
)
def test_the_target_s_language(identifier: LanguageIdentifier, text: str, target: str) -> None:
    found = identifier.probability(text, "en", target)
    assert found is not None
    assert found > 0.5


def test_languages_that_are_near_are_told_apart_where_somebody_has_both() -> None:
    danish = "Hvis du ikke længere kan åbne siden, bør du først kontakte os og give os besked af hensyn til dine penge"
    alone = LanguageIdentifier().probability(danish, "en", "nb")
    both = LanguageIdentifier(known=["nb", "da"]).probability(danish, "en", "nb")
    assert alone is not None
    assert both is not None
    assert both < 0.1 < alone


@pytest.mark.parametrize("tag", ["gl", "uz", "lb", "sr-Latn", "ace"])
def test_what_nobody_can_tell_is_unknown(identifier: LanguageIdentifier, tag: str) -> None:
    assert known_language(tag) is None
    assert identifier.probability("Non se puido establecer a conexión co dispositivo", "en", tag) is None


def test_chinese_is_told_by_signs_that_one_form_alone_has() -> None:
    assert chinese_form(SIMPLIFIED, "zh-Hans") == chinese_form(TRADITIONAL, "zh-Hant") == 1
    assert chinese_form(TRADITIONAL, "zh") == chinese_form(SIMPLIFIED, "yue") == 0
    assert chinese_form("你好", "zh-Hans") is None
    assert chinese_form(TRADITIONAL, "ja") is None


def test_letters_are_of_a_script() -> None:
    assert share_in_script("abc где", "ru") == 0.5
    assert share_in_script("カタカナと漢字", "ja") == 1
    assert share_in_script("한국어 漢字 abc", "ko") == pytest.approx(5 / 8)
    assert share_in_script("123", "ru") is None


@pytest.mark.parametrize(
    ("tag", "bleu", "ter"),
    [("de-AT", "13a", "tercom"), ("zh_TW", "zh", "asian"), ("yue", "zh", "asian"), ("jpn", "char", "asian"),
     ("ko", "char", "tercom"), ("th", "char", None), ("km-KH", "char", None), ("lo", "char", None),
     ("my", "char", None)],
)  # fmt: skip
def test_how_a_language_is_cut_into_words(tag: str, bleu: str, ter: str | None) -> None:
    assert (bleu_tokenizer(tag), ter_tokenizer(tag)) == (bleu, ter)
