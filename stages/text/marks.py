"""Which tokens are marks of a model's format, such as `</s>` or a language tag, and never of a text that spells it."""

import re
from collections.abc import Callable, Collection, Sequence

# Beginnings, ends, fillers, and the language tags of models that are trained here or of MADLAD-400's kind.
_MARK = re.compile(r"<(?:s|/s|unk|pad|blank|sep|mask|2[^<>\s]+|from:[^<>\s]+)>")
# A word that spells one, with what escapes it.
_ESCAPED = re.compile(r"(\\*)(" + _MARK.pattern + ")")

# What special tokens look like that a template spells.
_SPECIAL = re.compile(r"<[^<>\s]+>|\[/?[A-Z][A-Z_]{2,}\]")


def looks_special(token: str) -> bool:
    """Whether a token is written as formats write what is no text: `<think>`, `[INST]`."""
    return _SPECIAL.fullmatch(token) is not None


def is_mark(token: str) -> bool:
    """Whether a token is a mark in any model."""
    return token[:1] == "<" and _MARK.fullmatch(token) is not None


def escape(word: str) -> str:
    """A word that is no mark, whatever it spells; `unescape` gives the word back."""
    return f"\\{word}" if "<" in word and _ESCAPED.fullmatch(word) else word


def unescape(token: str) -> str:
    """The word that `escape` was given."""
    return token[1:] if token[:1] == "\\" and _ESCAPED.fullmatch(token) else token


def without_marks(tokens: Sequence[str], marks: Collection[str], spell: Callable[[str], list[str]]) -> list[str]:
    """Tokens of a text with those that are marks spelled out."""
    if not any(token in marks or is_mark(token) for token in tokens):
        return list(tokens)
    return [part for token in tokens for part in (spell(token) if token in marks or is_mark(token) else [token])]


def split_at(text: str, marks: Collection[str]) -> list[tuple[str, bool]]:
    """The parts of a text, none of them empty, each with whether it is a mark; of marks, the longest that fits."""
    if not marks:
        return [(text, False)] if text else []
    either = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
    return [(part, part in marks) for part in re.split(f"({either})", text) if part]


def joined(parts: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """The same parts with texts that stand side by side put together."""
    result: list[tuple[str, bool]] = []
    for part, mark in parts:
        if result and not mark and not result[-1][1]:
            result[-1] = (result[-1][0] + part, False)
        else:
            result.append((part, mark))
    return result
