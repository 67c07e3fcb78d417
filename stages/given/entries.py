"""From a record of a file to the translations of one source: which row they are of, and what is said of each."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.errors import DataError
from data.ids import normalise
from data.language_tags import Direction
from data.schema import UNTRANSLATED_SCORE
from data.soft_targets import LARGEST_LOG_PROB
from stages.given.config import Config
from stages.given.reading import Record

_ID = re.compile(r"[0-9a-f]{32}")
# Beyond rounding: what sums to more is no distribution, or not in natural logarithms.
_LARGEST_SUM = 1.02
_LARGEST_SCORE = 3.4e38
# Of what is shown of a text.
_SHOWN = 60

# Of every position the most probable entries, token and log-probability each.
LogProbs = list[list[tuple[str, float]]]


class Translation(NamedTuple):
    """A text with what was said of it."""

    text: str
    score: float | None = None
    tokens: list[str] | None = None
    log_probs: LogProbs | None = None


class Entry(NamedTuple):
    """Translations of the row with this id, or, where that is empty, of all with this source in this direction."""

    row_id: str
    source: str
    direction: Direction | None
    translations: list[Translation]
    # Texts that were empty.
    empty: int

    def told(self) -> str:
        """What it is of, for people."""
        return self.row_id or repr(self.source[:_SHOWN])


class EntryReader:
    """Reads records as a recipe names their fields."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def read(self, record: Record) -> Entry:
        """Raises DataError, which names the place, where a record is not what docs/teachers.md says."""
        row_id = self._text(record, "id").strip().lower()
        source = normalise(self._text(record, "source"))
        if not row_id and not source:
            raise DataError(
                f"{record.where}: has neither {self._config.name('id')} nor {self._config.name('source')}; expected "
                "one of them, to tell what is translated"
            )
        found = self._translations(record)
        kept = [each for each in found if each.text]
        return Entry(row_id, source, self._direction(record), kept, len(found) - len(kept))

    def _translations(self, record: Record) -> list[Translation]:
        target, hypotheses = self._value(record, "target"), self._value(record, "hypotheses")
        if target is not None and hypotheses is not None:
            raise DataError(f"{record.where}: has both {self._named('target', 'hypotheses')}; expected one of them")
        if hypotheses is None:
            names = {name: self._value(record, name) for name in ("score", "tokens", "log_probs")}
            return [] if target is None else [self._translation(record.where, {"text": target, **names})]
        if not isinstance(hypotheses, list):
            raise _wrong(record.where, self._config.name("hypotheses"), "a list", hypotheses)
        scores = self._value(record, "scores")
        if scores is None:
            scores = [None] * len(hypotheses)
        if not isinstance(scores, list) or len(scores) != len(hypotheses):
            raise _wrong(record.where, self._config.name("scores"), f"{len(hypotheses)}, one a hypothesis", scores)
        each = zip(hypotheses, scores, strict=True)
        return [
            self._translation(record.where, one if isinstance(one, dict) else {"text": one}, score)
            for one, score in each
        ]

    def _translation(self, where: str, content: Mapping[str, Any], score: Any = None) -> Translation:
        text = content.get("text")
        if not isinstance(text, str) and text is not None:
            raise _wrong(where, "a translation", "a text", text)
        own = content.get("score")
        found = _score(where, score if own is None else own)
        if not self._config.soft_targets:
            return Translation(_checked(where, normalise(text or "")), found)
        tokens, log_probs = content.get("tokens"), content.get("log_probs")
        return Translation(
            _checked(where, normalise(text or "")), found, _tokens(where, tokens), _log_probs(where, log_probs)
        )

    def _direction(self, record: Record) -> Direction | None:
        found = (self._text(record, "source_language"), self._text(record, "target_language"))
        if bool(found[0]) != bool(found[1]):
            raise DataError(
                f"{record.where}: has one of {self._named('source_language', 'target_language')}; expected both or none"
            )
        return Direction(*found) if all(found) else None

    def _text(self, record: Record, key: Any) -> str:
        value = self._value(record, key)
        if value is not None and not isinstance(value, str):
            raise _wrong(record.where, self._config.name(key), "a text", value)
        return _checked(record.where, value or "")

    def _value(self, record: Record, key: Any) -> Any:
        """What a field holds, inside others where its name has dots; None where it is not there."""
        name, content = self._config.name(key), record.content
        if name in content:
            return content[name]
        value: Any = content
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _named(self, *keys: Any) -> str:
        return " and ".join(self._config.name(key) for key in keys)


def is_id(text: str) -> bool:
    """Whether a row of a corpus can be called so."""
    return _ID.fullmatch(text) is not None


def _wrong(where: str, name: str, expected: str, found: Any) -> DataError:
    return DataError(f"{where}: {name}: expected {expected}; found {str(found)[:_SHOWN]!r}")


def _checked(where: str, text: str) -> str:
    if "\0" in text:
        raise DataError(f"{where}: a text holds a NUL byte; expected text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        raise DataError(f"{where}: a text holds half of a surrogate pair; expected whole characters") from None
    return text


def _score(where: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not abs(score) <= _LARGEST_SCORE or score == UNTRANSLATED_SCORE:
        raise _wrong(where, "score", f"a number, null for none, and not {UNTRANSLATED_SCORE:g}", value)
    return score


def _tokens(where: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
        raise _wrong(where, "tokens", "a list of texts", value)
    return [_checked(where, token) for token in value]


def _log_probs(where: str, value: Any) -> LogProbs | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _wrong(where, "log_probs", "a list, for every token and for </s> an object {token: log_prob}", value)
    return [_position(f"{where}, log_probs[{number}]", each) for number, each in enumerate(value)]


def _position(where: str, value: Any) -> list[tuple[str, float]]:
    """The entries of a position, the most probable first; those of no probability are left out."""
    entries = _pairs(value)
    if entries is None or not all(isinstance(token, str) and _is_number(number) for token, number in entries):
        raise _wrong(where, "entries", "an object {token: log_prob}", value)
    kept = [(_checked(where, token), float(number)) for token, number in entries if number != -math.inf]
    if len({token for token, _ in kept}) < len(kept):
        raise _wrong(where, "entries", "each token once", value)
    largest, total = max((number for _, number in kept), default=0.0), sum(math.exp(min(n, 1.0)) for _, n in kept)
    if not kept or largest > LARGEST_LOG_PROB or total > _LARGEST_SUM:
        raise DataError(
            f"{where}: the largest of {len(kept)} is {largest:.4g}, and their probabilities sum to {total:.4g}; "
            "expected natural log-probabilities, at most 0 and no more than 1 together: are these raw logits, or "
            "logarithms to another base?"
        )
    return sorted(kept, key=lambda entry: -entry[1])


def _pairs(value: Any) -> Sequence[tuple[Any, Any]] | None:
    """Of an object, of a map of Parquet, or of a list of structs; a struct of Parquet has a null for what is absent."""
    if isinstance(value, Mapping):
        return [(token, number) for token, number in value.items() if number is not None]
    if not isinstance(value, list):
        return None
    if all(isinstance(each, Mapping) and set(each) == {"token", "log_prob"} for each in value):
        return [(each["token"], each["log_prob"]) for each in value]
    return value if all(isinstance(each, tuple) and len(each) == 2 for each in value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
