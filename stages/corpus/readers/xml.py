"""XML as a stream of events, in bounded memory: no entities, nothing is fetched, nothing is built up."""

from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple, cast
from xml.etree.ElementTree import ParseError

from data.errors import DataError

_CHUNK_BYTES = 1 << 16
# Bytes in which neither a tag nor text ends: a name or a value of an attribute that has no end.
_LONGEST_TOKEN = 1 << 24
_DEEPEST = 200
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class Start(NamedTuple):
    """A tag that opens, without its namespace, and the number of its line."""

    tag: str
    namespace: str
    attributes: Mapping[str, str]
    line: int

    @property
    def language(self) -> str:
        """What `xml:lang` says, or `lang`, as it was written before."""
        return self.attributes.get(_LANGUAGE) or self.attributes.get("lang") or ""


class End(NamedTuple):
    """A tag that closes."""

    tag: str


class Text(NamedTuple):
    """A piece of text between tags."""

    text: str


Event = Start | End | Text


class _Target:
    """What the parser calls; events wait until they are fetched."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.parser: Any = None
        self.depth = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ParseError(f"more than {_DEEPEST} tags inside each other")
        namespace, _, name = tag.rpartition("}")
        self.events.append(Start(name, namespace[1:], dict(attributes), self.parser.CurrentLineNumber))

    def end(self, tag: str) -> None:
        self.depth -= 1
        self.events.append(End(tag.rpartition("}")[2]))

    def data(self, text: str) -> None:
        self.events.append(Text(text))

    def close(self) -> None:
        pass


def xml_events(stream: IO[bytes], path: str) -> Iterator[Event]:
    """All events of a document; raises DataError, with path and line, where it is no XML or defines entities."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    target = _Target()
    parser = DefusedXMLParser(target=target, forbid_entities=True, forbid_external=True)
    target.parser = cast(Any, parser).parser
    silent = 0
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            parser.feed(chunk)
            silent = 0 if target.events else silent + len(chunk)
            if silent > _LONGEST_TOKEN:
                raise ParseError(f"a tag or a value of more than {_LONGEST_TOKEN} bytes")
            yield from target.events
            target.events.clear()
        parser.close()
    except (ParseError, ValueError, LookupError) as error:  # the last ones: of encodings that there are not
        told = "it defines entities, which are never read" if isinstance(error, DefusedXmlException) else error
        raise DataError(f"{path}:{target.parser.CurrentLineNumber}: no XML that can be read: {told}") from error
    yield from target.events
