"""Translation memories in TMX, 1.1 to 1.4."""

from collections.abc import Iterator

from data.errors import DataError
from stages.corpus.readers.files.packing import opened
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import TmxSource
from stages.corpus.readers.units import Seen, Segment, best_tag, unit_files, unit_row
from stages.corpus.readers.xml import End, Event, Start, xml_events

# Their content is code of the format that a text was taken from, or a text of its own inside of such code.
_CODE = frozenset({"bpt", "ept", "ph", "it", "ut", "sub"})


class _Unit:
    """A <tu> as it is read: its line, and the language and text of each variant."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.tags: list[str] = []
        self.segments: list[Segment] = []

    def pair(self, languages: tuple[str, str]) -> tuple[Segment | None, Segment | None]:
        """The texts in two languages; no text counts as both."""
        first, second = (best_tag(language, self.tags) for language in languages)
        if first is not None and first == second:  # one of the languages is the other's region
            first, second = (first, None) if languages[0] == self.tags[first] else (None, second)
        found = (None if number is None else self.segments[number] for number in (first, second))
        return next(found), next(found)


def read_tmx(source: TmxSource, languages: tuple[str, str], longest: int) -> Iterator[RawRow]:
    """Rows in order of files and units; raises DataError for what is no TMX, or has no unit in one of the languages."""
    for path, place in unit_files(source):
        seen = Seen(path, languages)
        with opened(path, ("tmx", "xml")) as stream:
            for unit in _Reader(source, path, longest).units(xml_events(stream, shown_path(path))):
                text, translation = unit.pair(languages)
                seen.add(unit.tags, (text is not None, translation is not None))
                yield unit_row(source, f"{place}:{unit.line}", text, translation, copies=False)
        seen.check()


class _Reader:
    """Follows the events of one document."""

    def __init__(self, source: TmxSource, path: str, longest: int) -> None:
        self._code = _CODE if source.inline == "drop" else frozenset[str]()
        self._path, self._longest = path, longest
        self._begun = False
        self._language = ""
        self._unit: _Unit | None = None
        self._segment: Segment | None = None
        self._inside = 0  # tags that are open inside of the segment

    def units(self, events: Iterator[Event]) -> Iterator[_Unit]:
        """All units with their texts."""
        for event in events:
            if isinstance(event, Start):
                self._start(event)
            elif isinstance(event, End):
                if unit := self._end(event):
                    yield unit
            elif self._segment is not None:
                self._segment.add(event.text)

    def _start(self, event: Start) -> None:
        if not self._begun and event.tag != "tmx":
            raise DataError(f"{shown_path(self._path)}: its first tag is <{event.tag}>; expected <tmx>")
        self._begun = True
        if self._segment is not None:
            self._segment.start(event.tag)
            self._inside += 1
        elif event.tag == "tu":
            self._unit = _Unit(event.line)
        elif event.tag == "tuv":
            self._language = event.language
        elif event.tag == "seg" and self._unit is not None:
            self._segment = Segment(self._longest, self._code)

    def _end(self, event: End) -> _Unit | None:
        if self._segment is not None and self._inside:
            self._segment.end()
            self._inside -= 1
        elif self._segment is not None and self._unit is not None:
            self._unit.tags.append(self._language)
            self._unit.segments.append(self._segment)
            self._segment = None
        elif event.tag == "tu" and self._unit is not None:
            unit, self._unit = self._unit, None
            return unit
        return None
