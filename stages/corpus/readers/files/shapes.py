"""What lines of text are, by what all of them have: a table, JSON, messages; one line alone may look like anything."""

import csv
import re

# So many lines decide.
_LINES = 200
_FEWEST_EVEN = 10
_OBJECT = re.compile(r'\s*\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\}\s*$)')
_LIST = re.compile(r'\s*\[\s*(?:\{\s*"|\[|"(?:[^"\\]|\\.)*"\s*[,\]])')
_JSON_ENDS = ("{", "}", "[", "]", ",")
_MESSAGES = re.compile(r'(?:#[^\n]*\n|\s)*(?:msgctxt "[^\n]*\n(?:\s*"[^\n]*\n)*)?msgid(?:_plural)? "')
_SUBTITLES = re.compile(r"\s*(?:WEBVTT\b|\d+\s*\r?\n\d+:\d\d:\d\d[,.]\d{3} -->)")


def shape_of_lines(text: str) -> str | None:
    """Key of the format that the beginning of a text has, None where it is plain lines."""
    if _MESSAGES.match(text):
        return "po"
    if _SUBTITLES.match(text):
        return "subtitles"
    lines = [line for line in text.split("\n")[:_LINES] if line.strip()]
    return _json(text, lines) or _table(lines)


def _json(text: str, lines: list[str]) -> str | None:
    if not lines or lines[0].lstrip()[:1] not in "{[":
        return None
    if all(_OBJECT.match(line) and line.rstrip().endswith("}") for line in lines):
        return "jsonl"
    if not (_OBJECT.match(text) or _LIST.match(text)):
        return None
    # A document over several lines, or one long line of which the end is not seen.
    ends = sum(line.rstrip().endswith(_JSON_ENDS) for line in lines)
    return "json" if ends * 2 > len(lines) or len(lines) == 1 else None


def _table(lines: list[str]) -> str | None:
    if len(lines) < 2:
        return None
    tabs = {line.count("\t") for line in lines}
    if len(tabs) == 1 and tabs != {0}:
        return "tsv"
    if all(" ||| " in line for line in lines):
        return "bars"
    if all(line.startswith('"') and line.rstrip().endswith('"') and '","' in line for line in lines):
        return "csv"
    marks = {"csv": ",", "semicolons": ";"} if tabs == {0} else {}
    return next((key for key, mark in marks.items() if _is_even(lines, mark)), None)


def _is_even(lines: list[str], separator: str) -> bool:
    """Whether each of many lines has as many values, two at least, however quoted: no text has its commas so.

    In a text a space follows a comma, and lines made from one pattern have as many of them.
    """
    if len(lines) < _FEWEST_EVEN or any(separator not in line for line in lines):
        return False
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    values = [value for row in rows for value in row[1:]]
    return len({len(row) for row in rows}) == 1 and 2 * sum(value.startswith(" ") for value in values) < len(values)
