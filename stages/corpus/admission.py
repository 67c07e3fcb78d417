"""From what a reader found to a clean row with its id, or to the reason why it is none."""

from data.ids import normalise, row_id, split_point
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import RawRow, Reason, Row, shown


def admit(raw: RawRow, origin: Origin, index: int, sequence: int, shortest: int, longest: int) -> Row | Reason:
    """The row of origin number `index`, or why it is not taken. An empty reference counts as none."""
    if raw.reason:
        return raw.reason
    if fault := _text_fault(raw.source) or _text_fault(raw.reference):
        return fault
    source = normalise(raw.source or "")
    reference = normalise(raw.reference) or None if raw.reference else None
    if fault := _length_fault(source, reference, shortest, longest):
        return fault
    return Row(
        point=split_point(source),
        group=0 if origin.is_test_set else 1,
        id=row_id(origin.source_language, origin.target_language, source),
        monolingual=reference is None,
        sequence=sequence,
        origin=index,
        source=source,
        reference=reference,
        location=shown(raw.location),
    )


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


def _length_fault(source: str, reference: str | None, shortest: int, longest: int) -> Reason | None:
    if not source:
        return Reason.EMPTY_SOURCE
    sizes = [len(source)] if reference is None else [len(source), len(reference)]
    if max(sizes) > longest:
        return Reason.TOO_LONG
    return Reason.TOO_SHORT if min(sizes) < shortest else None
