"""Objects of JSON, one a line."""

import difflib
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from data.errors import DataError
from stages.corpus.readers.documents import read_json
from stages.corpus.readers.files.shards import Shard, shards
from stages.corpus.readers.lines import Line, read_lines
from stages.corpus.readers.paths import shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import JsonlSource

# An object may hold far more than the texts that are read.
_LONGEST_LINE = 1 << 24
# What holds for all of so many first lines is a fault of the recipe, and not of the lines.
_SAMPLE_LINES = 100
# Where fewer of them are objects, the file is no JSONL; a list of JSON, an item a line, ends without a comma.
_FEWEST_OBJECTS = 0.1
_LONGEST_INDEX = 18  # digits
_MISSING = object()


def read_jsonl(source: JsonlSource, longest: int) -> Iterator[RawRow]:
    """Rows in order of files and lines; raises DataError when none of a file's first lines has what is asked for."""
    for shard in shards(source.file):
        lines = enumerate(read_lines(shard.path, max(_LONGEST_LINE, 64 * longest), ("jsonl", "json")), 1)
        records = ((number, line) for number, line in lines if line.reason or line.text.strip())
        sample = list(islice(records, _SAMPLE_LINES))
        _check(source, shard, sample)
        for number, line in chain(sample, records):
            yield _row(source, f"{shard.place}:{number}", line)


def _row(source: JsonlSource, location: str, line: Line) -> RawRow:
    if line.reason:
        return RawRow(location, line.text, None, line.reason)
    record = _parsed(line.text)
    if record is None:
        return RawRow(location, line.text, None, Reason.NOT_JSON)
    names = [name for name in (source.source_field, source.target_field) if name is not None]
    values = [_value(record, name) for name in names]
    for value in values:
        if value is _MISSING:
            return RawRow(location, line.text, None, Reason.NO_FIELD)
        if value is not None and not isinstance(value, str):
            return RawRow(location, line.text, None, Reason.NOT_TEXT)
    return RawRow(location, values[0] or "", values[1] if len(values) > 1 else None)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        record = read_json(text.removeprefix("\N{RECORD SEPARATOR}"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _value(record: Any, name: str) -> Any:
    """What stands at a name, whose parts between dots name fields, or places in lists; _MISSING if nothing does."""
    if isinstance(record, dict) and name in record:
        return record[name]
    first, dot, rest = name.partition(".")
    if isinstance(record, dict) and first in record:
        inner = record[first]
    elif isinstance(record, list) and _is_index(first) and int(first) < len(record):
        inner = record[int(first)]
    else:
        return _MISSING
    return _value(inner, rest) if dot else inner


def _is_index(part: str) -> bool:
    return part.isdecimal() and len(part) <= _LONGEST_INDEX


def _check(source: JsonlSource, shard: Shard, sample: list[tuple[int, Line]]) -> None:
    """Raises DataError when hardly a line of the sample is an object, or none has a field."""
    records = [_parsed(line.text) for _, line in sample if line.reason is None]
    objects = [record for record in records if record is not None]
    if records and len(objects) < max(_FEWEST_OBJECTS * len(records), 1):
        few = (
            f"{len(objects)} of its first {len(records)} lines is"
            if objects
            else f"none of its first {len(records)} lines is"
        )
        raise DataError(
            f"{shown_path(shard.path)}: {few} an object of JSON, such as "
            f'{{"source": "..."}}; the first is {sample[0][1].text[:80]!r}; of a list jq -c \'.[]\' makes such lines'
        )
    for name in (source.source_field, source.target_field):
        if objects and name is not None and all(_value(record, name) is _MISSING for record in objects):
            known = sorted({field for record in objects for field in _fields(record)})
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"they have {', '.join(known)[:200]}"
            raise DataError(f"{shown_path(shard.path)}: none of its first {len(objects)} objects has {name!r}; {hint}")


def _fields(record: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict) and not before:
            yield from _fields(value, f"{name}.")
        else:
            yield f"{before}{name}"
