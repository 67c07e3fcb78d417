"""What a model says around a translation: a preface, a note, quotes around all of it, a fence of code, marks of a chat.

Each is looked for in the target, and is one where the source has nothing of its kind: a text about translations, or one
with quotes, may be translated.
"""

import re
from functools import lru_cache

from stages.text.units import has_no_spaces

# So many characters may go before a translation.
_LONGEST_HEAD = 120
# "Translation" and "translate", casefolded, at the beginning of a word. Words that mean other things as well, as in
# Turkish or Vietnamese, stand with the ending that does not.
_TRANSLATION = (
    "translat|interpretation of|übersetz|traduc|tradu[iz]|tłumacz|przekład|překlad|přelož|preklad|prelož|перевод|"
    "переклад|превод|пераклад|prevod|prijevod|fordítás|översätt|översatt|oversett|oversæt|þýðing|käännös|tõlge|tõlk|"
    "tulkojum|vertim|vertaling|vertaald|çeviri|tercüme|tərcümə|аударма|таржима|tarjima|terjemah|bản dịch|"
    "aistriú|cyfieith|itzulpen|μετάφρασ|թարգման|თარგმან|(?:و?ال)?ترجم|התרגום|תרגום|अनुवाद|भाषांतर|অনুবাদ|ਅਨੁਵਾਦ|અનુવાદ|மொழிபெயர்ப்பு|అనువాద|"
    "ಅನುವಾದ|വിവർത്തന|පරිවර්තන"
)
# The same in scripts without spaces, anywhere.
_UNSPACED = "翻译|翻譯|译文|譯文|翻訳|訳文|번역|คำแปล|การแปล|แปลเป็น|ການແປ|ការបកប្រែ|ဘာသာပြန်"
_ABOUT = re.compile(rf"(?<!\w)(?:{_TRANSLATION})|{_UNSPACED}")
# What a model may call its answer, before a colon or in a line of its own.
_LABELS = frozenset(
    ["output", "target", "target text", "response", "assistant", "answer", "final answer", "model", "bot"]
)
_ASSENT = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|here you go|here it is|natürlich|selbstverständlich|gerne|klar|"
    r"bien sûr|certainement|d'accord|d’accord|claro|por supuesto|certo|certamente|com certeza|конечно|хорошо|"
    r"конешно|jistě|samozřejmě|oczywiście|persze|tietysti|totta kai|tabii|elbette|natuurlijk|självklart|selvfølgelig|"
    r"desigur|bineînțeles|φυσικά|בטח|כמובן|بالطبع|بالتأكيد|ज़रूर|जरूर|बिल्कुल|แน่นอน|tentu|chắc chắn|"
    r"当然|好的|當然|もちろん|물론)"
    r"(?![\w-])[^:：\n]*[:：\n]"
)
_NOTES = (
    r"translator['’]?s? note|notes?|n\.?b\.?|explanation|clarification|context|anmerkung|hinweis|erklärung|erläuterung|"
    r"remarque|explication|nota(?: del traductor| do tradutor| del traduttore)?|explicación|explicação|spiegazione|"
    r"observación|observação|примечание|пояснение|примітка|poznámka|pozn\.|vysvětlení|uwaga|wyjaśnienie|megjegyzés|"
    r"huomautus|huom|anmärkning|anm|merk(?:nad)?|bemærk|opmerking|toelichting|not|açıklama|catatan|ghi chú|nóta|notă|"
    r"märkus|piezīme|pastaba|napomena|забележка|σημείωση|הערה|ملاحظة|नोट|टिप्पणी|หมายเหตุ|"
    r"注意?|注[释釋]|备注|備註|说明|說明|説明|注記|訳注|译注|譯註|참고|주석|주"
)
_BRACKETED_NOTE = re.compile(rf"[(（\[【]\W{{0,3}}(?:{_NOTES})\W{{0,3}}[:：].*[)）\]】]\W{{0,3}}$", re.DOTALL)
_NOTE = re.compile(rf"(?:^|[\n.!?。！？])\s*\W{{0,3}}(?:{_NOTES})\W{{0,3}}[:：]\s*\S")
_REFUSAL = re.compile(
    r"as an ai\b|(?:ai|large) language model|i(?:['’]m| am) (?:unable|not able) to (?:translat|assist|help|provid)|"
    r"i can(?:not|['’]t) (?:translat|assist|help with|provide)|als ki[- ](?:sprach)?modell|en tant qu['’]ia\b|"
    r"como (?:modelo de lenguaje|modelo de linguagem)|作为(?:一个)?(?:ai|人工智能)|как (?:языковая модель|ии)\b"
)
# In other languages than English nobody says so of a text.
_HELPFUL = re.compile(
    r"\bi hope (?:this|that|it) helps|\blet me know if you (?:need|have|want|would)|\bis there anything else|"
    r"\bfeel free to ask"
)
_ABOUT_IN_BRACKETS = re.compile(
    rf"[(（\[【][^()（）\[\]]*(?:(?<!\w)(?:{_TRANSLATION})|{_UNSPACED})[^()（）\[\]]*[)）\]】]\W?$"
)
_CHAT_MARK = re.compile(
    r"<[|｜][^|｜<>\s]{1,40}[|｜]>|<0x[0-9A-F]{2}>|\[(?:EOS|BOS|PAD|UNK|CLS|SEP)\]|</?think(?:ing)?>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|"
    r"</?(?:translation|answer|output)>|<(?:bos|eos|pad|unk)>|</?s>",
    re.IGNORECASE,
)
_ECHO = re.compile(r"\s*(?:[-=]>|[→⇒➜➔]|\n)\s*\S")
_FENCES = ("```", "~~~")
# What opens a text that is all in quotes, with what closes it.
_QUOTES = {
    '"': '"', "“": "”", "„": "“”", "”": "”", "«": "»", "»": "«", "「": "」", "『": "』", "'": "'", "‘": "’", "‚": "‘’",
    "‹": "›", "《": "》", "〈": "〉", "＂": "＂", "`": "`", "*": "*", "״": "״",
}  # fmt: skip
_QUOTE_MARKS = frozenset("".join([*_QUOTES, *_QUOTES.values()])) - set("'’*`")
# Ends of lines, of all that break a line for Python, editors or the standard: a text of one line has none.
_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def remarks(source: str, target: str, source_language: str = "", target_language: str = "") -> int:
    """How many kinds the target has, of a preface or an echo, a note, a refusal, quotes, a fence, marks of a chat.

    A preface ends with a colon or its line, and speaks of a translation, consents or is the name of one of the
    languages, which are BCP-47 tags.
    """
    text = target.strip()
    return sum(
        (
            _has_preface(source, text, source_language, target_language)
            or _has_echo(source, text)
            or _speaks_of_translating(source, text, (source_language, target_language)),
            _has_note(source, text),
            _refuses(source, text) or _helps(source, text, target_language),
            _is_quoted(source.strip(), text.rstrip(".!?。！？")),
            any(fence in text and fence not in source for fence in _FENCES),
            bool(_CHAT_MARK.search(text)) and not _CHAT_MARK.search(source),
        )
    )


def line_breaks(source: str, target: str) -> int:
    """How many breaks of a line the target has more than the source; a CR LF is one."""
    return max(len(_LINE_BREAK.findall(target)) - len(_LINE_BREAK.findall(source)), 0)


def _has_preface(source: str, text: str, source_language: str, target_language: str) -> bool:
    end = min((place for mark in ":：\n" if (place := text.find(mark, 0, _LONGEST_HEAD)) > 0), default=-1)
    if end < 0 or not text[end + 1 :].strip():
        return False
    head = text[:end].casefold()
    if _ABOUT.search(head):
        return not _ABOUT.search(source.casefold())
    if ":" in source or "：" in source:
        return False
    if _names_in(head, source, (source_language, target_language)) or head.strip("*_#\"'“”„ ") in _LABELS:
        return True
    return head == target_language.partition("-")[0].casefold() or bool(_ASSENT.match(text[: end + 1].casefold()))


def _speaks_of_translating(source: str, text: str, languages: tuple[str, str]) -> bool:
    """Whether it says that it is a translation, as in: "Hallo" is the German translation of "Hello"."""
    plain, asked = text.casefold(), source.casefold()
    if not _ABOUT.search(plain) or _ABOUT.search(asked):
        return False
    whole = asked.strip(" .!?\"'")
    return (
        _names_in(plain, source, languages)
        or bool(_ABOUT_IN_BRACKETS.search(plain))
        or (len(whole) > 2 and whole in plain)
    )


def _names_in(text: str, source: str, languages: tuple[str, str]) -> bool:
    """Whether a text, casefolded, has a name of one of the languages that the source has not."""
    asked = source.casefold()
    names = (name for language in languages for name in _names(language) if name in text and name not in asked)
    return any(has_no_spaces(name[0]) or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _has_echo(source: str, text: str) -> bool:
    """Whether the source stands before its translation."""
    return bool(source) and text.startswith(source) and bool(_ECHO.match(text, len(source)))


def _has_note(source: str, text: str) -> bool:
    if ":" not in text and "：" not in text:
        return False
    plain = text.casefold()
    if _BRACKETED_NOTE.search(plain):
        return not any(mark in source for mark in "(（[【")
    return ":" not in source and "：" not in source and bool(_NOTE.search(plain, 1))


def _refuses(source: str, text: str) -> bool:
    found = _REFUSAL.search(text.casefold())
    return (
        bool(found)
        and not re.search(r"\b(?:ai|ki|ia)\b|model|ии|人工智能|模型", source.casefold())
        and not _ABOUT.search(source.casefold())
    )


def _helps(source: str, text: str, target_language: str) -> bool:
    if target_language.partition("-")[0] == "en":
        return False
    return bool(_HELPFUL.search(text.casefold())) and not _HELPFUL.search(source.casefold())


def _is_quoted(source: str, text: str) -> bool:
    if len(text) < 3 or text[0] not in _QUOTES or text[-1] not in _QUOTES[text[0]]:
        return False
    if any(mark in text[1:-1].strip("*") for mark in (text[0], text[-1])):
        return False
    return source[:1] not in _QUOTES and source[-1:] not in _QUOTE_MARKS and not _QUOTE_MARKS & set(source)


@lru_cache(maxsize=256)
def _names(tag: str) -> frozenset[str]:
    """What a language is called in English and in itself, casefolded."""
    from babel import Locale, UnknownLocaleError

    if not tag:
        return frozenset()
    try:
        known = Locale.parse(tag, sep="-")
        plain = Locale(known.language)
    except (UnknownLocaleError, ValueError):
        return frozenset()
    names = [locale.get_display_name(shown) for locale in (known, plain) for shown in ("en", known)]
    return frozenset(name.casefold() for name in names if name)
