"""Globs: many files as one, and the two sides of a parallel text paired by what their wildcards stand for."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import fsspec

from data.errors import DataError
from stages.corpus.readers.files.archives import names_member, open_zip, tar_names, zip_names
from stages.corpus.readers.files.found import WILD, find_files, fixed_part
from stages.corpus.readers.files.packing import opened
from stages.corpus.readers.paths import published_path, shown_error, shown_path

_TOKENS = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])")
_EXPRESSIONS = {"**/": "((?:.*/)?)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
_SHOWN = 5


class Shard(NamedTuple):
    """A file; what rows say of where they come from; what the wildcards stand for in its name."""

    path: str
    place: str
    key: tuple[str, ...]


def shards(path: str) -> list[Shard]:
    """The files of a glob, sorted; of a path without wildcards, that one; raises DataError where none matches."""
    if not any(mark in path for mark in WILD):
        return [Shard(path, published_path(path), ())]
    names = list(_in_archive(path)) if names_member(path) else list(find_files(path, "").paths.values())
    if names == [path]:  # a file whose name holds such marks
        return [Shard(path, published_path(path), ())]
    if not names:
        raise DataError(f"{shown_path(path)}: no file matches")
    expression, below = _expression(path), fixed_part(path)
    matched = [(name, expression.fullmatch(name)) for name in sorted(names)]
    return [Shard(name, published_path(name, below), match.groups() if match else (name,)) for name, match in matched]


def paired(path: str, other: str) -> Iterator[tuple[Shard, Shard]]:
    """Both sides' files, paired by what the wildcards stand for; raises DataError for one that is left over."""
    first, second = shards(path), shards(other)
    if len(first) == len(second) == 1 and not (first[0].key and second[0].key):
        yield first[0], second[0]
        return
    partners = {shard.key: shard for shard in second}
    lonely = [shard.path for shard in first if shard.key not in partners]
    lonely += [shard.path for key, shard in partners.items() if key not in {shard.key for shard in first}]
    if lonely or len(partners) != len(second):
        shown = ", ".join(shown_path(name) for name in lonely[:_SHOWN])
        raise DataError(
            f"{shown_path(path)} has {len(first)} files and {shown_path(other)} has {len(second)}; no partner, by what "
            f"the wildcards stand for, have {len(lonely)}: {shown}"
        )
    yield from ((shard, partners[shard.key]) for shard in first)


def _expression(path: str) -> re.Pattern[str]:
    parts = (_EXPRESSIONS.get(token) or _one_of(token) or re.escape(token) for token in _TOKENS.split(path))
    return re.compile("".join(parts), re.DOTALL)


def _one_of(token: str) -> str:
    if not _TOKENS.fullmatch(token):
        return ""
    inside = token[1:-1].replace("\\", "\\\\")
    return f"([^{inside[1:]}])" if inside[0] in "!^" else f"([{inside}])"


def _in_archive(path: str) -> Iterator[str]:
    member = names_member(path)
    if member is None:
        return
    expression = _expression(member.name)
    for name in _names(member.kind, member.archive):
        if expression.fullmatch(name):
            yield f"{member.kind}://{name}::{member.archive}"


def _names(kind: str, archive: str) -> list[str]:
    if kind == "tar":
        with opened(archive, ("tar",)) as stream:
            return sorted(tar_names(stream))
    try:
        with fsspec.open(archive, "rb", compression=None) as stream, open_zip(stream, archive) as opened_zip:
            return zip_names(opened_zip)
    except OSError as error:
        raise DataError(f"{shown_path(archive)}: {shown_error(error, archive)}; expected a zip archive") from error
