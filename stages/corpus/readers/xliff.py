"""Translation units in XLIFF 1.2 and 2."""

from collections.abc import Iterator

from data.errors import DataError
from stages.corpus.readers.files.packing import opened
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import XliffSource
from stages.corpus.readers.units import Seen, Segment, best_tag, unit_files, unit_row
from stages.corpus.readers.xml import End, Event, Start, xml_events

_CODE = frozenset({"bpt", "ept", "ph", "it", "sub"})
# By the number before the point: the element whose children are a source and its target.
_UNITS = {"1": "trans-unit", "2": "segment"}
_APPROVED = {"signed-off", "final", "reviewed"}
_UNTRANSLATED = {"new", "needs-translation", "initial"}


class _Unit:
    """A unit as it is read."""

    def __init__(self, start: Start, languages: tuple[str, str]) -> None:
        self.line = start.line
        self.languages = languages
        self.approved = start.attributes.get("approved") == "yes"
        self.state = start.attributes.get("state", "")
        self.texts: dict[str, Segment] = {}

    def reason(self, only_approved: bool) -> Reason | None:
        """Why its translation is not taken, if it is not."""
        state = self.state.lower()
        if not self.approved and (only_approved and state not in _APPROVED):
            return Reason.FUZZY
        return Reason.FUZZY if state.startswith("needs-") and state not in _UNTRANSLATED else None


def read_xliff(source: XliffSource, languages: tuple[str, str], longest: int) -> Iterator[RawRow]:
    """Rows in order of files and units; raises DataError for what is no XLIFF, or is of other languages throughout."""
    for path, place in unit_files(source):
        seen = Seen(path, languages)
        with opened(path, ("xliff", "xml")) as stream:
            for unit in _Reader(source, path, longest).units(xml_events(stream, shown_path(path))):
                # A file may leave out into which language its texts are to be translated.
                pairs = zip(languages, unit.languages, strict=True)
                found = [not tag or best_tag(wanted, [tag]) is not None for wanted, tag in pairs]
                seen.add([tag for tag in unit.languages if tag], found)
                if all(found):
                    yield _row(source, f"{place}:{unit.line}", unit)
        seen.check()


def _row(source: XliffSource, location: str, unit: _Unit) -> RawRow:
    text, translation = unit.texts.get("source"), unit.texts.get("target")
    if unit.state.lower() in _UNTRANSLATED and not unit.approved:
        translation = None
    row = unit_row(source, location, text, translation)
    if row.reference is not None and row.reason is None and (reason := unit.reason(source.approved)):
        return row._replace(reason=reason)
    return row


class _Reader:
    """Follows the events of one document."""

    def __init__(self, source: XliffSource, path: str, longest: int) -> None:
        self._code = _CODE if source.inline == "drop" else frozenset[str]()
        self._path, self._longest = path, longest
        self._stack: list[str] = []
        self._namespace = ""
        self._unit_tag = ""
        self._languages = ("", "")
        self._unit: _Unit | None = None
        self._segment: Segment | None = None
        self._depth = 0

    def units(self, events: Iterator[Event]) -> Iterator[_Unit]:
        """All units with their texts."""
        for event in events:
            if isinstance(event, Start):
                self._start(event)
                self._stack.append(event.tag if event.namespace == self._namespace else "")
            elif isinstance(event, End):
                self._stack.pop()
                if unit := self._end(event):
                    yield unit
            elif self._segment is not None:
                self._segment.add(event.text)

    def _start(self, event: Start) -> None:
        if not self._stack:
            self._root(event)
        elif self._segment is not None:
            self._segment.start(event.tag)
        elif event.namespace != self._namespace:
            return
        elif event.tag == "file" and self._unit_tag == _UNITS["1"]:
            self._languages = (event.attributes.get("source-language", ""), event.attributes.get("target-language", ""))
        elif event.tag == self._unit_tag and self._unit is None:
            self._unit = _Unit(event, self._languages)
            self._depth = len(self._stack)
        elif self._unit is not None and event.tag in {"source", "target"} and len(self._stack) == self._depth + 1:
            self._segment = self._unit.texts[event.tag] = Segment(self._longest, self._code)
            self._unit.state = event.attributes.get("state", self._unit.state)

    def _root(self, event: Start) -> None:
        version = event.attributes.get("version", "")
        if event.tag != "xliff" or version[:1] not in _UNITS:
            raise DataError(
                f"{shown_path(self._path)}: its first tag is <{event.tag}> of version {version or 'none'}; expected "
                "<xliff> of version 1.2 or 2"
            )
        self._namespace, self._unit_tag = event.namespace, _UNITS[version[:1]]
        self._languages = (event.attributes.get("srcLang", ""), event.attributes.get("trgLang", ""))

    def _end(self, event: End) -> _Unit | None:
        if self._segment is not None and len(self._stack) == self._depth + 1:
            self._segment = None
        elif self._segment is not None:
            self._segment.end()
        elif self._unit is not None and len(self._stack) == self._depth:
            unit, self._unit = self._unit, None
            return unit
        return None
