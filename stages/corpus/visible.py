"""Whether a text shows anything at all, on a screen or on paper."""

import re
import unicodedata

# Controls, spaces, marks of direction and the like; surrogates are rejected as no text.
_BLANK_CATEGORIES = {"Cc", "Cf", "Zs", "Zl", "Zp", "Cs"}
# Further ones that are blank or that Unicode wants ignored where a font does not know them (DerivedCoreProperties.txt,
# Default_Ignorable_Code_Point): joiners of graphemes, fillers of Hangul, Khmer and Khitan, selectors of variants, tags,
# the pattern of Braille without a dot, the head of a note that is none, and what stands for an object that is missing.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\ufffc\ufffe\uffff"
    "\U00016fe4\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def shows(text: str) -> bool:
    """Whether a character of a text is visible."""
    return any(
        unicodedata.category(character) not in _BLANK_CATEGORIES and not _BLANK.match(character) for character in text
    )
