"""A sheet on which people compare two systems without knowing which is which: CSV, with the key in a file beside it.

Which system is A is drawn anew for every row. A cell that a spreadsheet would take for a formula
(https://owasp.org/www-community/attacks/CSV_Injection), or for a number or a date, which it writes in its own way, has
an apostrophe before it.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.fingerprint import bytes_digest
from data.local import write_atomically
from stages.languages.directions import COLUMNS
from stages.presentation.model_card import direction_name

REFERENCE = "reference"
# Said where a sheet has several.
DIRECTION = "direction"
GIVEN = ("id", "source", "reference", "A", "B")
TO_FILL = ("preference", "adequacy A", "adequacy B", "comment")
FORMAT = "potstill-sheet-1"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_TRUTH_VALUES = ("true", "false")
_WORD = re.compile(r"[^\W\d_]+")
# A date has as many at most: viernes, 5 de marzo de 2024.
_MOST_WORDS = 4
# A byte order mark: without it some spreadsheets take the text for Latin-1.
_ENCODING = "utf-8-sig"


@dataclass(frozen=True)
class Key:
    """Which system is what on a sheet, and how to know that sheet again."""

    systems: tuple[str, str]
    seed: int
    # Rows that were drawn from.
    of: int
    # Digest of the translations' artefact.
    evaluation: str
    # Of all rows' digests, in the order of their ids.
    digest: str
    # By id: which of the systems is A, and the digest of what the row shows.
    rows: Mapping[str, tuple[int, str]]

    @classmethod
    def read(cls, path: Path) -> "Key":
        """Raises DataError when it is no key."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise DataError(f"{path} is a key of another version of Potstill; expected {FORMAT}")
            rows = {name: (int(first), str(digest)) for name, (first, digest) in content.pop("rows").items()}
            first, second = content.pop("systems")
            key = cls(systems=(first, second), rows=rows, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is no key of a sheet ({error}); name the .key.json beside the sheet") from error
        if sheet_digest(key.rows) != key.digest:
            raise DataError(f"{path}: its digest is not that of its rows; a key must stay as it was written")
        return key


def write_sheet(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    systems: tuple[str, str],
    sentences: int,
    seed: int,
    evaluation: str,
) -> Path:
    """Draws `sentences` of the rows, without replacement, and writes sheet and key; returns the key's path.

    `rows` have `id`, `source`, `reference`, their languages and a column for each system; the reference may be one of
    the systems, and is not shown then. Where rows differ in their languages each says into which one it was to be
    translated. Raises DataError when a system is not there, or a file of one of the names is.
    """
    key_path = path.with_suffix(".key.json")
    _check(rows, (path, key_path), systems)
    shown, drawn = [], {}
    several = len({tuple(row[name] for name in COLUMNS) for row in rows}) > 1
    for row, first in _draw(rows, sentences, seed):
        given = {
            "id": row["id"],
            **({DIRECTION: direction_name(*(row[name] for name in COLUMNS))} if several else {}),
            "source": row["source"],
            "reference": "" if REFERENCE in systems else row["reference"],
            "A": row[systems[first]],
            "B": row[systems[1 - first]],
        }
        shown.append(given)
        drawn[row["id"]] = (first, row_digest(given))
    key = Key(systems, seed, len(rows), evaluation, sheet_digest(drawn), drawn)
    write_atomically(path, _csv(shown).encode(_ENCODING))
    write_atomically(key_path, json.dumps({"format": FORMAT, **asdict(key)}, indent=1).encode())
    return key_path


def read_sheet(path: Path) -> list[dict[str, str]]:
    """Rows of a filled sheet, by column, without the marks of `escape`; `row` is the line as a spreadsheet has it.

    Commas, semicolons and tabs are taken. Raises DataError when it cannot be read, or a column is missing.
    """
    try:
        content = path.read_bytes().decode(_ENCODING)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); save the sheet as CSV in UTF-8") from error
    head, *records = list(csv.reader(io.StringIO(content, newline=""), delimiter=_delimiter(content))) or [[]]
    if missing := [name for name in (*GIVEN, *TO_FILL) if name not in head]:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; do not rename or remove columns of a sheet")
    return [
        # A spreadsheet may leave out empty cells at the end of a row.
        dict.fromkeys(head, "")
        | {name: unescape(cell).strip() for name, cell in zip(head, record, strict=False)}
        | {"row": str(number)}
        for number, record in enumerate(records, start=2)
        if any(record)
    ]


def row_digest(row: Mapping[str, str]) -> str:
    """Of what a row shows; aside are space, which spreadsheets change, and an apostrophe before it, which some drop."""
    shown = [row[name] or "" for name in (*GIVEN, DIRECTION) if name in row]
    texts = [" ".join(text.split()).lstrip("'") for text in shown]
    return bytes_digest(json.dumps(texts).encode())[:16]


def sheet_digest(rows: Mapping[str, tuple[int, str]]) -> str:
    """Of all rows of a sheet."""
    return bytes_digest(json.dumps([[name, rows[name][1]] for name in sorted(rows)]).encode())[:32]


def escape(text: str) -> str:
    """A cell that spreadsheets take for text; `unescape` undoes it."""
    return f"'{text}" if _changes(text) else text


def unescape(cell: str) -> str:
    """The text of a cell."""
    return cell.removeprefix("'") if _changes(cell) else cell


def _changes(cell: str) -> bool:
    """Whether a spreadsheet might make something else of it; of digits and few words, as dates have names of months."""
    text = cell.lstrip("'")
    if text.startswith(_FORMULA) or text.strip().casefold() in _TRUTH_VALUES:
        return True
    return any(map(str.isdigit, text)) and len(_WORD.findall(text)) <= _MOST_WORDS


def _check(rows: Sequence[Mapping[str, Any]], paths: Sequence[Path], systems: tuple[str, str]) -> None:
    known = [name for name in rows[0] if name not in ("id", "source", *COLUMNS)] if rows else []
    if missing := [name for name in systems if name not in known]:
        raise DataError(f"the evaluation has no system {', '.join(missing)}; it has {', '.join(known)}")
    if systems[0] == systems[1]:
        raise DataError(f"{systems[0]} cannot be compared with itself; name two systems")
    if there := [path for path in paths if path.exists()]:
        raise DataError(f"{there[0]} is there already, and may be of a sheet that is being filled; name another file")


def _draw(rows: Sequence[Mapping[str, Any]], number: int, seed: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Some rows in random order, each with which system is A: 0 or 1."""
    import numpy as np

    random = np.random.default_rng(seed)
    ordered = sorted(rows, key=lambda row: str(row["id"]))
    chosen = random.permutation(len(ordered))[:number]
    sides = random.integers(2, size=len(chosen))
    for place, side in zip(chosen, sides, strict=True):
        yield ordered[place], int(side)


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*rows[0], *TO_FILL])
    for row in rows:
        writer.writerow([*(escape(cell or "") for cell in row.values()), *("" for _ in TO_FILL)])
    return text.getvalue()


def _delimiter(content: str) -> str:
    head = content.partition("\n")[0]
    return max(",;\t", key=head.count)
