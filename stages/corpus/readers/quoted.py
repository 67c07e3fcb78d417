"""Records whose values may stand in quotes, and then hold separators, quotes and ends of lines."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stages.corpus.readers.lines import Line
from stages.corpus.readers.rows import Reason

# A record over more lines is an opening quote that is none.
_MOST_LINES = 100


class Record(NamedTuple):
    """A record, the number of its first line, and its text; with a reason there are no values."""

    number: int
    text: str
    values: list[str]
    reason: Reason | None = None


def quoted_records(lines: Iterable[Line], separator: str, longest: int, width: int) -> Iterator[Record]:
    """Records of a table with quotes, as strict CSV has them, most of which have `width` values.

    One that goes over several lines counts only where it closes within `longest` characters and has as many values.
    Otherwise its first line is no record, and the next line is read anew: a stray quote costs its own line.
    """
    source, waiting = enumerate(lines, 1), deque[tuple[int, Line]]()

    def following() -> tuple[int, Line] | None:
        return waiting.popleft() if waiting else next(source, None)

    while (first := following()) is not None:
        held, text = [first], first[1].text
        values, is_open = _parsed(text, separator) if first[1].reason is None else (None, False)
        while is_open and len(held) < _MOST_LINES and len(text) < longest:
            more = following()
            if more is None:
                break
            held.append(more)
            if more[1].reason is not None:
                break
            text = f"{text}\n{more[1].text}"
            values, is_open = _parsed(text, separator)
        if values is None or (len(held) > 1 and len(values) != width):
            waiting.extendleft(reversed(held[1:]))
            yield Record(first[0], first[1].text, [], first[1].reason or Reason.WRONG_COLUMNS)
            continue
        yield Record(first[0], text, values)


def quoted_values(text: str, separator: str) -> list[str] | None:
    """Values of a record that is one line, None where it is none."""
    return _parsed(text, separator)[0]


def _parsed(text: str, separator: str) -> tuple[list[str] | None, bool]:
    """The values, None where it is no record; and whether a quote is still open at its end."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        lines = [f"{line}\n" for line in text.split("\n")]
        records = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error as error:
        return None, "unexpected end of data" in str(error)
    return (records[0] if records else [""]) if len(records) < 2 else None, False
