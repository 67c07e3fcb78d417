"""From what a reader found to a clean row with its id, or to the reason why it is none."""

from collections import Counter
from dataclasses import dataclass, field

from data.errors import DataError
from data.ids import normalise, row_id, split_point
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import RawRow, Reason, Row, shown
from stages.corpus.visible import shows

# Characters of a line of a test set; no sentence that anybody published is longer.
LONGEST_GIVEN = 100_000


def admit(raw: RawRow, origin: Origin, index: int, sequence: int, shortest: int, longest: int) -> Row | Reason:
    """The row of origin number `index`, or why it is not taken. A reference that shows nothing counts as none."""
    if fault := _fault(raw):
        return fault
    row = _row(raw, origin, index, sequence)
    return _length_fault(row, shortest, longest) or row


@dataclass
class Given:
    """Rows of the test and valid sets that a recipe names: whole, in their order, texts untouched."""

    # How often each id was given; the same sentence may stand in a set more than once, and in several.
    _seen: Counter[str] = field(default_factory=Counter)

    def admit(self, raw: RawRow, origin: Origin, index: int, sequence: int) -> tuple[Row, Row]:
        """The row as it is scored, and as others are held against it; raises DataError for what is no text."""
        fault = _fault(raw) or (Reason.TOO_LONG if len(raw.source or "") > LONGEST_GIVEN else None)
        if fault:
            raise DataError(
                f"{origin.key} ({origin.name}), {raw.location}: {fault.value}; a {origin.role} set is scored whole, as "
                "it was published: mend the file, or name it below corpus.sources"
            )
        clean = _row(raw, origin, index, sequence)
        again = self._seen[clean.id]
        self._seen[clean.id] += 1
        name = row_id(origin.source_language, origin.target_language, clean.source, again)
        reference = raw.reference if clean.reference is not None else None
        return clean._replace(id=name, source=raw.source or "", reference=reference), clean


def _row(raw: RawRow, origin: Origin, index: int, sequence: int) -> Row:
    source = normalise(raw.source or "")
    reference = normalise(raw.reference) if raw.reference and shows(raw.reference) else None
    return Row(
        point=split_point(source),
        group=1 if origin.role == "source" else 0,
        id=row_id(origin.source_language, origin.target_language, source),
        monolingual=reference is None,
        sequence=sequence,
        origin=index,
        source=source,
        reference=reference,
        location=shown(raw.location),
    )


def _fault(raw: RawRow) -> Reason | None:
    return raw.reason or _text_fault(raw.source) or _text_fault(raw.reference)


def _text_fault(text: str | None) -> Reason | None:
    if text is None:
        return None
    if "\0" in text:
        return Reason.NUL_BYTE
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
            return Reason.NOT_UTF8
    return None


def _length_fault(row: Row, shortest: int, longest: int) -> Reason | None:
    if not shows(row.source):
        return Reason.EMPTY_SOURCE
    sizes = [len(text) for text in (row.source, row.reference) if text is not None]
    if max(sizes) > longest:
        return Reason.TOO_LONG
    return Reason.TOO_SHORT if min(sizes) < shortest else None
