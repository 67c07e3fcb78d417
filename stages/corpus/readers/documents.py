"""Documents of JSON, in which numbers may be larger than Python reads them."""

import json
from typing import Any

# Values of a document that are built at once: two million of them take half a gigabyte.
_MOST_VALUES = 2_000_000
_FEW_CHARACTERS = _MOST_VALUES


def read_json(text: str) -> Any:
    """What a document holds; an integer of thousands of digits is 0, for no text hangs on it.

    Raises ValueError for what is no JSON or has too many values, RecursionError for what is nested too deep.
    """
    if len(text) > _FEW_CHARACTERS and (values := sum(map(text.count, ",[{"))) > _MOST_VALUES:
        raise ValueError(f"about {values} values; expected at most {_MOST_VALUES}")
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # of the number of digits alone
        return json.loads(text, parse_int=_short)


def _short(digits: str) -> int:
    return int(digits) if len(digits) < 640 else 0
