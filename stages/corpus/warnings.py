"""What a reader must be told of a corpus: a source that gave nothing, or of which much could not be read as text.

One broken line costs itself. Many are a file in another encoding, of another kind, or damaged.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.corpus.readers.rows import Reason

EXAMPLES, _SHOWN = 3, 100
# Reasons that say that a row could not be read, with what is the matter most often where many have them.
_UNREADABLE: Mapping[Reason, str] = {
    Reason.NOT_UTF8: "the file may be in another encoding: iconv -f CP1252 -t UTF-8, or whichever it is",
    Reason.NUL_BYTE: "the file may be no text, or in UTF-16",
    Reason.NOT_TEXT: "the field or column may be another one than the text's",
    Reason.NOT_JSON: "the file may be no JSONL; of a list jq -c '.[]' makes it",
    Reason.NO_FIELD: "source_field or target_field may be another one",
    Reason.WRONG_COLUMNS: "separator or quoted may be wrong for this table",
    Reason.UNREADABLE_FILE: "these files may be damaged",
    Reason.EMPTY_SOURCE: "the sides or columns may be other ones",
}
# Of what was read; fewer rows than these are said to be broken one by one, among the rejects.
_SHARE, _FEWEST = 0.03, 5
# Sources of which so much is empty are no text; a few empty lines are in any.
_EMPTY_SHARE = 0.3


class Examples:
    """The first rows of each source that could not be read, by reason."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, Reason], list[str]] = {}

    def add(self, origin: int, reason: Reason, location: str, text: str | None) -> None:
        """Keeps the first few."""
        known = self._found.setdefault((origin, reason), [])
        if len(known) < EXAMPLES:
            shown = f"{text[:_SHOWN]!r}" + (" ..." if len(text) > _SHOWN else "") if text else "nothing"
            known.append(f"  {location}: {shown}")

    def of(self, origin: int, reason: Reason) -> list[str]:
        """Those of a source, a line each."""
        return self._found.get((origin, reason), [])


def warnings(sources: Mapping[str, Mapping[str, Any]], examples: Examples) -> list[str]:
    """A text for each source and reason; `sources` are the counts as the manifest has them, in order."""
    return [
        text for number, (name, counts) in enumerate(sources.items()) for text in _of(name, counts, number, examples)
    ]


def _of(name: str, counts: Mapping[str, Any], number: int, examples: Examples) -> Iterator[str]:
    read, dropped = counts["read"], counts["dropped"]
    if not read:
        yield f"{name}: nothing was read, it has no rows; look whether the file is whole, or leave the source out"
    for reason, advice in _UNREADABLE.items():
        rows = dropped.get(reason.value, 0)
        share = _EMPTY_SHARE if reason is Reason.EMPTY_SOURCE else _SHARE
        if rows >= _FEWEST and rows > share * read:
            head = f"{name}: {rows:,} of {read:,} rows ({rows / read:.1%}) were not taken, {reason.value}: {advice}"
            yield "\n".join([head, *examples.of(number, reason)])
