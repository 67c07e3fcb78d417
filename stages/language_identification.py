"""How sure one can be that a text is in its language, by lingua, which carries its models with it."""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from stages.text_measures import without_placeholders

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector


class LanguageIdentifier:
    """Tells languages apart: those of the pair, and `others` that a teacher may drift into."""

    def __init__(self, others: Iterable[str]) -> None:
        self._others = tuple(others)
        # A corpus has few pairs, and a detector for each takes long to build.
        self._detector = lru_cache(maxsize=64)(self._build)

    def probability(self, text: str, source_language: str, target_language: str) -> float | None:
        """Probability that `text` is in the target language rather than any other that is told apart, 0..1.

        None when it has no letters beside placeholders, or lingua does not know two of the languages.
        """
        words = without_placeholders(text)
        language = known_language(target_language)
        if language is None or not any(sign.isalpha() for sign in words):
            return None
        detector = self._detector(source_language, target_language)
        return None if detector is None else float(detector.compute_language_confidence(words, language))

    def _build(self, source_language: str, target_language: str) -> "LanguageDetector | None":
        from lingua import LanguageDetectorBuilder

        tags = (source_language, target_language, *self._others)
        languages = {language for tag in tags if (language := known_language(tag)) is not None}
        return LanguageDetectorBuilder.from_languages(*languages).build() if len(languages) > 1 else None


def known_language(tag: str) -> "Language | None":
    """lingua's language of a BCP-47 tag, by its first part; None when it has none."""
    from lingua import Language

    code = tag.split("-")[0].split("_")[0].lower()
    for language in Language.all():
        if code in (language.iso_code_639_1.name.lower(), language.iso_code_639_3.name.lower()):
            return language
    # lingua tells the two written forms of Norwegian apart, where corpora say no.
    return Language.BOKMAL if code in ("no", "nor") else None
