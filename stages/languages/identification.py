"""How sure one can be that a text is in its language, by lingua, which carries its models with it."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from stages.languages.writing import chinese_form, in_script, share_in_script
from stages.text.measures import without_placeholders

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector

# On 12,000 German interface texts of home-assistant, told apart from English: of those with 20 letters and more one
# in 2,000 got a probability below 0.1, and of shorter ones, names and loan words mostly, six times as many.
FEWEST_LETTERS = 20
# Texts in Greek or Japanese are full of names in Latin letters. Where so many letters are of the language's own script,
# those alone tell which language it is.
LEAST_SHARE = 0.2
# How sure lingua's small models have to be of a language that nobody has named before the text is looked at closely.
SURE = 0.9
# By their first parts; what another tag calls them. FLORES and NLLB name single languages of those that ISO sums up.
_ALIASES = {
    "no": "nb", "nor": "nb", "fil": "tl", "iw": "he", "in": "id", "mo": "ro", "arb": "ar", "cmn": "zh", "yue": "zh",
    "ekk": "et", "lvs": "lv", "zsm": "ms", "swh": "sw", "als": "sq", "khk": "mn", "azj": "az", "pes": "fa", "prs": "fa",
}  # fmt: skip
# Languages whose short texts can be taken for one another's, by the codes that lingua has. They are told apart only
# where the corpus or the teacher has both.
_ALIKE = [
    set(group.split())
    for group in ("hr bs sr sl", "nb nn da sv", "cs sk", "id ms", "xh zu", "st tn", "es pt ca", "nl af", "bg mk",
                  "ru uk be", "fa ur ar", "hi mr", "kk mn")
]  # fmt: skip

# lingua takes one letter of these for a sign of Kazakh alone.
_TAKEN_FOR_KAZAKH = {"uk", "be"}


class LanguageIdentifier:
    """Tells a language apart from the source's, from `others`, and from all else that a teacher may drift into.

    `known` are tags of the languages that the corpus and the teacher have.
    """

    def __init__(self, others: Iterable[str] = (), known: Iterable[str] = ()) -> None:
        self._others = {language for tag in others if (language := known_language(tag)) is not None}
        self._known = {language for tag in known if (language := known_language(tag)) is not None}
        # A corpus has few pairs, and a detector for each takes long to build.
        self._detector = lru_cache(maxsize=1024)(_build)

    def probability(self, text: str, source_language: str, target_language: str) -> float | None:
        """Probability that `text` is in the target language rather than any other that is told apart, 0..1.

        None when it has fewer than 20 letters beside placeholders (those of Chinese, Japanese and Korean count
        twice). Of a language that lingua does not know, or not in its script, only letters of another script tell
        something: their share is what is returned where most letters are such, and None elsewhere. Chinese is in the
        other written form as far as its signs are those of that form alone.
        """
        words = in_script(without_placeholders(text), target_language, LEAST_SHARE)
        if _letters(words) < FEWEST_LETTERS:
            return None
        language = known_language(target_language)
        if language is None:
            share = share_in_script(words, target_language)
            return share if share is not None and share < 0.5 else None
        found = self._among(words, language, known_language(source_language))
        form = chinese_form(words, target_language)
        return found if form is None else found * form

    def nearest(self, text: str) -> str | None:
        """The code of the language, of all that lingua knows, that a text seems to be in; None where none does."""
        words = without_placeholders(text)
        nearest = self._detector(None).detect_language_of(words) if words.strip() else None
        return None if nearest is None else _code(nearest)

    def _among(self, words: str, language: "Language", source: "Language | None") -> float:
        asked = {language, *(each for each in (*self._others, source) if each and not _is_confused(each, language))}
        found = self._confidence(words, language, frozenset(asked))
        nearest = self._detector(None).compute_language_confidence_values(words)[0]
        if nearest.value >= SURE and nearest.language not in asked and not self._is_excused(nearest.language, language):
            # The small models are wrong more often than the large ones.
            return min(found, self._confidence(words, language, frozenset([language, nearest.language])))
        return found

    def _confidence(self, words: str, language: "Language", among: "frozenset[Language]") -> float:
        if len(among) < 2:
            return 1.0
        return float(self._detector(among).compute_language_confidence(words, language))

    def _is_excused(self, found: "Language", wanted: "Language") -> bool:
        codes = {_code(found), _code(wanted)}
        alike = found not in self._known and any(codes <= group for group in _ALIKE)
        return alike or _is_confused(found, wanted)


def _is_confused(found: "Language", wanted: "Language") -> bool:
    return _code(found) == "kk" and _code(wanted) in _TAKEN_FOR_KAZAKH


def _code(language: "Language") -> str:
    return language.iso_code_639_1.name.lower()


def _build(languages: "frozenset[Language] | None") -> "LanguageDetector":
    """Of some languages the large models; of all the small ones, which take 150 MB together and half a millisecond."""
    from lingua import LanguageDetectorBuilder

    if languages is None:
        return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
    return LanguageDetectorBuilder.from_languages(*languages).build()


@lru_cache(maxsize=256)
def known_language(tag: str) -> "Language | None":
    """lingua's language of a BCP-47 tag, by its first part; None when it has none, or not in the tag's script."""
    from lingua import Language

    code, *parts = tag.replace("_", "-").lower().split("-")
    code = _ALIASES.get(code, code)
    for language in Language.all():
        if code in (language.iso_code_639_1.name.lower(), language.iso_code_639_3.name.lower()):
            return language if _is_written_so(language, parts) else None
    return None


def _is_written_so(language: "Language", parts: Iterable[str]) -> bool:
    """Whether lingua's texts of the language are in the script that a tag names, if it does: sr-Latn is not its sr."""
    from lingua import Language

    scripts = {
        "latn": Language.all_with_latin_script,
        "cyrl": Language.all_with_cyrillic_script,
        "arab": Language.all_with_arabic_script,
        "deva": Language.all_with_devanagari_script,
    }
    return all(language in scripts[part]() for part in parts if part in scripts)


def _letters(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text if sign.isalpha())
