"""A row on its way from a source into the corpus, and the reasons for which it may not arrive."""

from enum import StrEnum
from typing import NamedTuple

SHOWN_CHARACTERS = 1000


class Reason(StrEnum):
    """Why a row was not taken."""

    NOT_UTF8 = "not_utf8"  # bytes, or halves of surrogate pairs, that are no text
    NUL_BYTE = "nul_byte"  # binary content, most often
    NOT_TEXT = "not_text"  # a number, a truth value or null where a text belongs
    UNREADABLE_FILE = "unreadable_file"  # one file of a catalog that cannot be parsed
    SKIPPED_FILE = "skipped_file"  # of a folder: its name, or that of a folder above, begins with . or _
    NOT_JSON = "not_json"  # a line of JSONL that is no object
    NO_FIELD = "no_field"  # an object without the field that is read
    WRONG_COLUMNS = "wrong_columns"  # a TSV line with another number of columns than the first
    KEY_REFERENCE = "key_reference"  # a catalog's pointer to another key
    FUZZY = "fuzzy"  # an entry of gettext or XLIFF that its translators marked as unsure, or did not approve
    UNTRANSLATED = "untranslated"  # the translation is missing or a copy of the source
    EMPTY_SOURCE = "empty_source"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    DUPLICATE = "duplicate"  # another row has the same languages and source
    OVER_LIMIT = "over_limit"  # its source has given as many training rows as its limit says
    HELD_OUT_MONOLINGUAL = "held_out_monolingual"  # belongs to valid or test, but has no reference to score against
    IN_TEST_SET = "in_test_set"  # its folded source stands in a test set
    IN_VALID_SET = "in_valid_set"  # likewise, in a validation set
    NEARLY_HELD_OUT = "nearly_held_out"  # its source differs from a held-out row's in punctuation and the like alone
    HELD_OUT_REFERENCE = "held_out_reference"  # its reference is nearly that of a held-out row
    HELD_OUT_ELSEWHERE = "held_out_elsewhere"  # one of its texts belongs to valid or test in another language pair


class RawRow(NamedTuple):
    """What a reader found: texts as they stand there, or the reason why it is no row."""

    location: str
    source: str | None
    reference: str | None = None
    reason: Reason | None = None


class Row(NamedTuple):
    """A clean row. The order of its fields is the order in which the corpus sorts: see `stages.corpus.stage`.

    Rows are compared as tuples, and `sequence` is unique, so no field after it is ever compared.
    """

    point: float  # of the hash of the folded source, in [0, 1]; see data.ids.split_point
    group: int  # 0 in a test or valid set that is given, 1 elsewhere
    id: str
    monolingual: bool
    sequence: int  # number of the row in order of reading
    origin: int  # index of its source
    source: str
    reference: str | None
    location: str


def shown(text: str) -> str:
    """A text that can be written down whatever it holds, cut to what a reader needs to see."""
    text = text[:SHOWN_CHARACTERS]
    if not text.isascii():
        text = text.encode("utf-8", errors="replace").decode("utf-8")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
