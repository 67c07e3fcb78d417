"""Messages of gettext catalogs, .po and .mo."""

import gettext
import io
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from data.errors import DataError

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

_MARK = b"\xef\xbb\xbf"
# What a catalog says of itself and a parser wants to understand.
_HEADERS = (b"Plural-Forms", b"Language", b"Content-Type", b"POT-Creation-Date", b"PO-Revision-Date")
# A number that takes the general plural in every language's rule: 100 houses.
_MANY = 100


class Message(NamedTuple):
    """A source text with its translation, which is empty where there is none."""

    location: str
    source: str
    translation: str
    fuzzy: bool


def read_messages(content: bytes, name: str) -> Iterator[Message]:
    """Messages of a catalog, singular and plural apart; raises DataError when it is damaged."""
    catalog = _parse(content, name)
    for message in catalog:
        if not message.id:
            continue  # the header
        sources = [message.id] if isinstance(message.id, str) else list(message.id)
        where = f"{name}:{message.lineno}" if message.lineno else f"{name}#{message.context or ''}{sources[0]}"
        forms = [str(form or "") for form in ([message.string] if isinstance(message.id, str) else message.string)]
        indices = [0] if len(sources) == 1 else _plural_indices(catalog.plural_expr, len(forms))
        for number, (source, index) in enumerate(zip(sources, indices, strict=True)):
            location = f"{where}[plural]" if number else where
            yield Message(location, source, forms[index] if forms else "", bool(message.fuzzy))


def _plural_indices(expression: str, count: int) -> list[int]:
    """Which of a translation's forms belongs to one thing, and which to many."""
    try:
        rule = gettext.c2py(expression)
        return [min(rule(number), max(count - 1, 0)) for number in (1, _MANY)]
    except ValueError:
        return [0, max(count - 1, 0)]


def _parse(content: bytes, name: str) -> "Catalog":
    """The catalog, without its headers of which one cannot be understood; raises DataError when it is none."""
    try:
        return _parse_as(content, name)
    except DataError as fault:
        for mended in _without_headers(content):
            try:
                return _parse_as(mended, name)
            except DataError:
                continue
        raise fault


def _without_headers(content: bytes) -> Iterator[bytes]:
    """The same content with headers under names that nobody knows, one at a time and then all of them.

    The number of plurals is the one that the catalog uses. The lengths of all else, and with them its places in a .mo,
    stay as they are.
    """
    everything = content
    for header in _HEADERS:
        begin = re.compile(rb"(?<=[\n\0\"])" + header + rb"(?=:)", re.IGNORECASE)
        if at := begin.search(everything, 0, _header_end(everything)):
            yield _mended(content, header, at.start())
            everything = _mended(everything, header, at.start())
    yield everything


def _header_end(content: bytes) -> int:
    """Where the header of a .po ends; a .mo has it anywhere."""
    messages = re.finditer(rb"^msgid ", content, re.MULTILINE)
    return next((found.start() for number, found in enumerate(messages) if number), len(content))


def _mended(content: bytes, header: bytes, place: int) -> bytes:
    """With another name for the header, or where plurals are in question with as many as there are used."""
    hidden = b"X" * len(header)
    end = place + len(header)
    forms = [int(found) for found in re.findall(rb"^msgstr\[(\d)\]", content, re.MULTILINE)]
    if header == b"Plural-Forms" and forms:
        rest = content[end:].split(b'"', 1)[-1]
        return content[:place] + b'Plural-Forms: nplurals=%d; plural=?;\\n"' % (max(forms) + 1) + rest
    return content[:place] + hidden + content[end:]


def _parse_as(content: bytes, name: str) -> "Catalog":
    from babel.core import UnknownLocaleError
    from babel.messages.catalog import TranslationError
    from babel.messages.mofile import read_mo
    from babel.messages.pofile import PoFileError, read_po

    stream = io.BytesIO(content.removeprefix(_MARK))
    try:
        return read_mo(stream) if name.endswith(".mo") else read_po(stream, abort_invalid=True)
    # The last ones are what babel's parsers run into on content that is no catalog at all.
    except (PoFileError, TranslationError, UnknownLocaleError, ValueError, OSError, struct.error, LookupError) as error:
        raise DataError(f"{name}: no gettext catalog: {error}") from error
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(f"{name}: no gettext catalog: {error}") from error
