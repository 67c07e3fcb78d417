"""What TMX and XLIFF have in common: texts with code of other formats inside, and tags of languages."""

from collections.abc import Iterator, Sequence

from data.errors import DataError
from data.ids import normalise
from stages.corpus.readers.files.shards import shards
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import UnitOptions

_SHOWN_LANGUAGES = 20


class Segment:
    """The text of an element as its pieces come in, at most `longest` characters of it.

    What stands inside of the tags `code` is native code of the text's own format, and left out.
    """

    def __init__(self, longest: int, code: frozenset[str]) -> None:
        self._longest, self._code = longest, code
        self._parts: list[str] = []
        self._size = 0
        self._muted = 0

    def start(self, tag: str) -> None:
        """A tag opens inside."""
        if self._muted or tag in self._code:
            self._muted += 1

    def end(self) -> None:
        """A tag closes inside."""
        self._muted = max(self._muted - 1, 0)

    def add(self, text: str) -> None:
        """A piece of text."""
        if not self._muted and self._size <= self._longest:
            self._parts.append(text)
            self._size += len(text)

    @property
    def text(self) -> str:
        """What was found so far."""
        return "".join(self._parts)

    @property
    def is_too_long(self) -> bool:
        """Whether there was more than is kept."""
        return self._size > self._longest


def best_tag(wanted: str, tags: Sequence[str]) -> int | None:
    """Which tag is meant by a language: itself, or the shortest that begins with it; RFC 4647, 3.3.1."""
    plain = [tag.lower().replace("_", "-") for tag in tags]
    asked = wanted.lower().replace("_", "-")
    matches = [number for number, tag in enumerate(plain) if tag == asked or tag.startswith(f"{asked}-")]
    return min(matches, key=lambda number: len(plain[number]), default=None)


def unit_row(
    source: UnitOptions, location: str, text: Segment | None, translation: Segment | None, copies: bool = True
) -> RawRow:
    """A row of the two texts of a unit, as far as they are there; `copies`: a copy of the source is no translation."""
    texts = [None if segment is None else segment.text for segment in (text, translation)]
    if any(segment is not None and segment.is_too_long for segment in (text, translation)):
        return RawRow(location, texts[0], texts[1], Reason.TOO_LONG)
    first, second = texts
    none = not second or not second.strip() or (copies and first is not None and normalise(second) == normalise(first))
    if not none:
        return RawRow(location, first, second)
    return RawRow(location, first, None, Reason.UNTRANSLATED if first and source.untranslated == "reject" else None)


class Seen:
    """Languages of the units of a file, so that a tag that never occurs is no silence."""

    def __init__(self, path: str, wanted: tuple[str, str]) -> None:
        self._path, self._wanted = path, wanted
        self._tags: dict[str, None] = {}
        self._found = [False, False]
        self._units = 0

    def add(self, tags: Sequence[str], found: Sequence[bool]) -> None:
        """A unit with texts in these languages, and whether the wanted ones are among them."""
        self._units += 1
        if len(self._tags) < _SHOWN_LANGUAGES:
            self._tags.update(dict.fromkeys(tags))
        self._found = [before or now for before, now in zip(self._found, found, strict=True)]

    def check(self) -> None:
        """Raises DataError when there were units, and never one of the languages."""
        missing = [tag for tag, found in zip(self._wanted, self._found, strict=True) if not found]
        if self._units and missing:
            raise DataError(
                f"{shown_path(self._path)}: none of its {self._units} units has a text in {' or '.join(missing)}; they "
                f"have {', '.join(self._tags) or 'none'}; source_code and target_code name what the file calls them"
            )


def unit_files(source: UnitOptions) -> Iterator[tuple[str, str]]:
    """Paths of a source's files, each with what rows say of it."""
    yield from ((shard.path, shard.place) for shard in shards(source.file))
