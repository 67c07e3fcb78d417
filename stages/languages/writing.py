"""How languages are written, as far as measures must know: with spaces or not, in which script, in which Chinese."""

import unicodedata
from collections import Counter
from functools import cache

from data.language_tags import written_language
from stages.text.units import worth

_CHINESE = frozenset(["zh", "zho", "chi", "cmn", "yue", "wuu", "lzh", "nan", "hak", "gan", "hsn"])
_JAPANESE = frozenset(["ja", "jpn"])
# Khmer, Lao, Burmese, Thai, Tibetan, Dzongkha, Yi.
_UNSPACED = frozenset(["th", "tha", "km", "khm", "lo", "lao", "my", "mya", "bo", "bod", "dz", "dzo", "ii"])
_KOREAN = frozenset(["ko", "kor"])

# Signs that one of the two written forms of Chinese has alone.
_FEWEST_SIGNS = 2
# Scripts that go with another one in texts of a language.
_TOGETHER = {
    "Jpan": {"HIRAGANA", "KATAKANA", "CJK"},
    "Hans": {"CJK", "BOPOMOFO"},
    "Hant": {"CJK", "BOPOMOFO"},
    "Hani": {"CJK", "BOPOMOFO"},
    "Kore": {"HANGUL", "CJK"},
}
_NAMES = {
    "Latn": "LATIN", "Cyrl": "CYRILLIC", "Grek": "GREEK", "Arab": "ARABIC", "Hebr": "HEBREW", "Deva": "DEVANAGARI",
    "Thai": "THAI", "Beng": "BENGALI", "Taml": "TAMIL", "Telu": "TELUGU", "Knda": "KANNADA", "Mlym": "MALAYALAM",
    "Gujr": "GUJARATI", "Guru": "GURMUKHI", "Orya": "ORIYA", "Sinh": "SINHALA", "Mymr": "MYANMAR", "Khmr": "KHMER",
    "Laoo": "LAO", "Tibt": "TIBETAN", "Geor": "GEORGIAN", "Armn": "ARMENIAN", "Ethi": "ETHIOPIC", "Mong": "MONGOLIAN",
    "Thaa": "THAANA", "Hang": "HANGUL", "Cher": "CHEROKEE", "Cans": "CANADIAN", "Tfng": "TIFINAGH", "Olck": "OL",
}  # fmt: skip


@cache
def bleu_tokenizer(tag: str) -> str:
    """sacrebleu's tokenisation for a BCP-47 tag: `zh` for Chinese, letters where words are not spaced, else `13a`.

    Korean has spaces, but between phrases: letters as well.
    """
    language = _language(tag)
    if language in _CHINESE:
        return "zh"
    return "char" if language in _JAPANESE | _UNSPACED | _KOREAN else "13a"


@cache
def ter_tokenizer(tag: str) -> str | None:
    """How TER can cut a language into words: `tercom`, `asian` for Han and kana; None where sacrebleu knows no way."""
    language = _language(tag)
    if language in _UNSPACED:
        return None
    return "asian" if language in _CHINESE | _JAPANESE else "tercom"


def share_in_script(text: str, tag: str) -> float | None:
    """Share of the text's letters that are of a script in which the language is written, 0..1; None where unknown."""
    wanted = _scripts(tag)
    found = Counter(_script(sign) for sign in text if sign.isalpha())
    if not wanted or not found:
        return None
    return sum(count for script, count in found.items() if script in wanted) / found.total()


def in_script(text: str, tag: str, least: float) -> str:
    """The text without letters of other scripts, where at least such a share is of the language's own; else as it is.

    Latin letters are names everywhere; letters of other scripts in a Latin text are not.
    """
    wanted = _scripts(tag)
    if text.isascii() or not wanted or "LATIN" in wanted:
        return text
    own = "".join(sign if not sign.isalpha() or _script(sign) in wanted else " " for sign in text)
    return own if worth("".join(own.split())) >= least * worth("".join(text.split())) else text


def chinese_form(text: str, tag: str) -> float | None:
    """Share of the signs that only one of simplified and traditional Chinese has that are of the tag's, 0..1.

    None for other languages, and for texts with fewer than two such signs. What a form has is what its character set
    of old has: GB 2312, Big5.
    """
    if _language(tag) not in _CHINESE - {"lzh"}:
        return None
    forms = Counter(form for sign in text if (form := _form(sign)))
    if forms.total() < _FEWEST_SIGNS:
        return None
    script = written_language(tag if _language(tag) == "zh" else f"zh-{tag.partition('-')[2] or _usual_form(tag)}")
    return forms["Hant" if script.endswith("Hant") else "Hans"] / forms.total()


def _usual_form(tag: str) -> str:
    return "Hant" if _language(tag) in ("yue", "nan", "hak") else "Hans"


def _language(tag: str) -> str:
    return tag.replace("_", "-").split("-")[0].lower()


@cache
def _form(sign: str) -> str:
    if not "\u3400" <= sign <= "\u9fff":
        return ""
    simplified, traditional = _has("gb2312", sign), _has("big5", sign)
    return "" if simplified == traditional else "Hans" if simplified else "Hant"


def _has(encoding: str, sign: str) -> bool:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _scripts(tag: str) -> frozenset[str]:
    """Unicode's names of the scripts that a tag names or that its language is usually written in."""
    from babel.core import get_global

    language, *parts = tag.replace("_", "-").split("-")
    script = next((part.title() for part in parts if len(part) == 4 and part.isalpha()), "")
    if not script:
        aliases = get_global("language_aliases")
        code = aliases.get(language.lower(), language.lower())
        likely = get_global("likely_subtags").get(code, "")
        script = next((part for part in likely.split("_")[1:] if len(part) == 4), "")
    if script in _TOGETHER:
        return frozenset(_TOGETHER[script])
    return frozenset([_NAMES[script]]) if script in _NAMES else frozenset()


@cache
def _script(sign: str) -> str:
    return unicodedata.name(sign, "").partition(" ")[0]
