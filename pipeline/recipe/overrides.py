"""`--set section.key=value`: what the command line lays over a recipe, before it is checked."""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

# Not what Python calls a digit, such as ², of which it makes no number.
_INDEX = re.compile(r"[0-9]{1,9}")


def apply_overrides(document: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Lays `section.key=value` over the document in place; the value is TOML, or else a text. Returns faults."""
    faults = []
    for override in overrides:
        key, equals, value = override.partition("=")
        parts = [int(part) if _INDEX.fullmatch(part) else part for part in re.findall(r"[^.\[\]]+", key.strip())]
        if not equals or len(parts) < 2 or not isinstance(parts[0], str):
            faults.append(f"--set {override}: expected section.key=value, such as decode.beam_size=4")
        elif not _put(document, parts, _toml_value(value)):
            faults.append(f"--set {override}: there is no such table or list to set it in")
    return faults


def _put(place: Any, parts: Sequence[str | int], value: Any) -> bool:
    for part in parts[:-1]:
        if isinstance(place, dict):
            place = place.setdefault(str(part), {})
        elif isinstance(place, list) and isinstance(part, int) and part < len(place):
            place = place[part]
        else:
            return False
    last = parts[-1]
    if isinstance(place, dict):
        place[str(last)] = value
    elif isinstance(place, list) and isinstance(last, int) and last < len(place):
        place[last] = value
    else:
        return False
    return True


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
