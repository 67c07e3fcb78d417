"""From files on the command line to sources of a recipe: which kind reads them, and which of their columns."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.errors import ConfigError, DataError
from pipeline.starting.languages import Languages
from stages.corpus.readers.files.formats import FORMATS, is_zip, recognise
from stages.corpus.readers.files.head import Headed
from stages.corpus.readers.files.packing import opened
from stages.corpus.readers.lines import read_lines

# Of a line that is looked at for its columns.
_LONGEST = 1_000_000
_SOURCE_NAMES, _TARGET_NAMES = ("source", "src"), ("target", "tgt", "reference", "ref", "translation")
# Formats that hold both sides, with the kind and the options that read them.
_KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "tsv": ("tsv", {}),
    "csv": ("tsv", {"separator": ",", "quoted": True}),
    "semicolons": ("tsv", {"separator": ";", "quoted": True}),
    "jsonl": ("jsonl", {}),
    "parquet": ("parquet", {}),
    "arrow": ("arrow", {}),
    "tmx": ("tmx", {}),
    "xliff": ("xliff", {}),
    "zip": ("opus", {}),
}
# By its name, where the content may be anything, as a table of few lines may.
_NAMED = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl"}


@dataclass
class Given:
    """One source as a recipe names it, without its name; `open`: what is not known of it."""

    keys: dict[str, Any]
    shown: str
    open: list[str] = field(default_factory=list)


def text_source(source: Path, target: Path | None) -> Given:
    """Lines of two files, or of one; raises ConfigError where one is no file of lines."""
    for path in (source, target):
        if path is not None:
            _check_lines(path)
    if target is None:
        return Given({"kind": "text", "source_file": str(source)}, str(source))
    return Given({"kind": "text", "source_file": str(source), "target_file": str(target)}, f"{source} and {target}")


def table_source(path: Path, languages: Languages) -> Given:
    """A file or folder that holds both sides; raises ConfigError where no kind of source reads both out of it."""
    key = _format_of(path) or _NAMED.get(path.suffixes[0] if path.suffixes else "", "")
    if key not in _KINDS:
        raise ConfigError([f"{path}: holds no pairs that Potstill knows; docs/sources.md has all kinds of sources"])
    kind, options = _KINDS[key]
    where = "path" if kind in ("parquet", "arrow") else "file"
    given = Given({"kind": kind, where: str(path), **options}, str(path))
    if kind in ("tsv", "jsonl", "parquet", "arrow"):
        _name_columns(given, kind, _columns(path, key), languages)
    return given


def _check_lines(path: Path) -> None:
    if not path.exists():
        raise ConfigError([f"{path}: no such file"])
    key = "" if path.is_dir() else _format_of(path)
    if path.is_dir() or (key in _KINDS and key != "zip"):
        raise ConfigError([f"{path}: no file of lines; if it holds both sides, give it as --pairs"])


def _format_of(path: Path) -> str:
    """The short name of what is in a file or folder; empty where it is lines of text."""
    if not path.exists():
        raise ConfigError([f"{path}: no such file"])
    if path.is_dir():
        return "parquet" if any(path.rglob("*.parquet")) else "arrow" if any(path.rglob("*.arrow")) else ""
    with path.open("rb") as stream:
        if is_zip(head := stream.read(8)):
            return "zip"
    if not head:
        return ""
    try:
        with opened(str(path), tuple(FORMATS)) as unpacked:
            found = recognise(Headed(unpacked).head)
    except DataError:
        with path.open("rb") as stream:
            found = recognise(Headed(stream).head)
    return found.key if found else ""


def _columns(path: Path, key: str) -> list[str]:
    """Names of the columns, or what stands in the first line of a table."""
    try:
        if key in ("parquet", "arrow"):
            return list(_fields(_schema(path, key)))
        first = next(line.text for line in read_lines(str(path), _LONGEST, (), True))
    except (DataError, OSError, ValueError, StopIteration) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error
    if key == "jsonl":
        return list(_members(json.loads(first)))
    separator = {"csv": ",", "semicolons": ";"}.get(key)
    return next(csv.reader([first], delimiter=separator)) if separator else first.rstrip("\r").split("\t")


def _schema(path: Path, key: str) -> Any:
    """The Arrow schema of the first file."""
    import pyarrow as pa
    import pyarrow.ipc
    import pyarrow.parquet as pq

    file = min(path.rglob(f"*.{key}")) if path.is_dir() else path
    if key == "parquet":
        return pq.read_schema(file)
    with pa.memory_map(str(file)) as stream:
        try:
            return pa.ipc.open_file(stream).schema
        except pa.ArrowInvalid:
            stream.seek(0)
            return pa.ipc.open_stream(stream).schema


def _fields(schema: Any, above: str = "") -> Iterator[str]:
    import pyarrow as pa

    for each in schema:
        if pa.types.is_struct(each.type):
            yield from _fields(each.type, f"{above}{each.name}.")
        elif not pa.types.is_nested(each.type):
            yield f"{above}{each.name}"


def _members(content: Any, above: str = "") -> Iterator[str]:
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict):
            yield from _members(value, f"{above}{name}.")
        elif isinstance(value, str):
            yield f"{above}{name}"


def _name_columns(given: Given, kind: str, names: Sequence[str], languages: Languages) -> None:
    """By names of languages or sides; of a table with two columns, by their order."""
    word = "field" if kind == "jsonl" else "column"
    sides = [_named(names, usual, tag) for usual, tag in zip((_SOURCE_NAMES, _TARGET_NAMES), languages, strict=True)]
    found: list[Any] = [side for side in sides if side is not None]
    if len(found) == 2:
        given.keys |= {f"source_{word}": found[0], f"target_{word}": found[1]}
        return
    if len(names) < 2:
        raise ConfigError([f"{given.shown}: has {len(names)} {word}s of text; expected one for each language"])
    by_order: list[Any] = [0, 1] if kind == "tsv" else list(names[:2])
    given.keys |= {f"source_{word}": by_order[0], f"target_{word}": by_order[1]}
    if len(names) > 2:
        shown = ", ".join(name[:30] for name in names[:8])
        given.open.append(f"source_{word}, target_{word}: which of its {len(names)} {word}s are meant? {shown}")


def _named(names: Sequence[str], usual: Sequence[str], tag: str) -> str | None:
    """The one name that means a side, by its last part."""
    wanted = {tag.lower(), tag.lower().split("-")[0], *usual}
    found = [name for name in names if name.lower().replace("_", "-").rsplit(".", 1)[-1] in wanted]
    return found[0] if len(found) == 1 else None
