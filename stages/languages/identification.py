"""How sure one can be that a text is in its language, by lingua, which carries its models with it."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from stages.text.measures import without_placeholders

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector

# On 12,000 German interface texts of home-assistant, told apart from English: of those with 20 letters and more one
# in 2,000 got a probability below 0.1, and of shorter ones, names and loan words mostly, six times as many.
FEWEST_LETTERS = 20


class LanguageIdentifier:
    """Tells languages apart: those of the pair, and `others` that a teacher may drift into."""

    def __init__(self, others: Iterable[str]) -> None:
        self._others = tuple(others)
        # A corpus has few pairs, and a detector for each takes long to build.
        self._detector = lru_cache(maxsize=64)(self._build)

    def probability(self, text: str, source_language: str, target_language: str) -> float | None:
        """Probability that `text` is in the target language rather than any other that is told apart, 0..1.

        None when it has fewer than 20 letters beside placeholders (those of Chinese, Japanese and Korean count
        twice), or lingua does not know two of the languages in their scripts.
        """
        words = without_placeholders(text)
        language = known_language(target_language)
        if language is None or _letters(words) < FEWEST_LETTERS:
            return None
        detector = self._detector(source_language, target_language)
        return None if detector is None else float(detector.compute_language_confidence(words, language))

    def _build(self, source_language: str, target_language: str) -> "LanguageDetector | None":
        from lingua import LanguageDetectorBuilder

        tags = (source_language, target_language, *self._others)
        languages = {language for tag in tags if (language := known_language(tag)) is not None}
        return LanguageDetectorBuilder.from_languages(*languages).build() if len(languages) > 1 else None


@lru_cache(maxsize=256)
def known_language(tag: str) -> "Language | None":
    """lingua's language of a BCP-47 tag, by its first part; None when it has none, or not in the tag's script."""
    from lingua import Language

    code, *parts = tag.replace("_", "-").lower().split("-")
    if code in ("no", "nor"):
        # lingua tells the two written forms of Norwegian apart, where corpora say no.
        code = "nb"
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
