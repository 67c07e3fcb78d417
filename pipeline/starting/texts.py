"""A look at a source before anything is run: rows, languages, and whether its sides belong together."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from data.errors import ConfigError, DataError
from pipeline.starting.languages import Languages
from pipeline.starting.parallel import judge_sides
from pipeline.starting.sampling import Block, Sampler
from pipeline.starting.sources import Given
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import Source

if TYPE_CHECKING:
    from lingua import LanguageDetector

# Of a row, by the corpus's default.
_MOST_CHARACTERS = 2000
# Letters of a block of which lingua is asked.
_LETTERS = 600
_FEWEST_LETTERS = 40
_FEWEST_SAMPLES = 5
# Share of rows that cannot be read, or are the same on both sides, above which a source is worthless.
_UNREADABLE, _COPIES = 0.1, 0.9
_WORDS = {
    Reason.NOT_UTF8: "no UTF-8: write them anew, as by iconv -f LATIN1 -t UTF-8",
    Reason.NUL_BYTE: "binary",
    Reason.TOO_LONG: f"longer than {_MOST_CHARACTERS:,} characters",
    Reason.WRONG_COLUMNS: "of another number of columns",
}
# Languages that are told apart by little: one in place of the other is no fault.
_NEAR = ({"hr", "bs", "sr"}, {"no", "nb", "nn", "da"}, {"id", "ms"})


class _Read(BaseModel):
    source: Source


@dataclass
class Look:
    """What was found of one source; `faults` make a recipe of it worthless."""

    given: Given
    lines: int
    parallel: bool
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def look_at(given: Given, languages: Languages) -> Look:
    """Reads all of it once, as the corpus will; raises ConfigError when it cannot be read at all."""
    sampler, reasons = Sampler(), Counter[Reason]()
    look = Look(given, 0, parallel=len([key for key in given.keys if key.startswith(("source", "target"))]) != 1)
    look.faults += given.open
    try:
        for row in _rows(given, languages):
            sampler.add(row)
            reasons.update([row.reason] if row.reason else _empty(row, look.parallel))
    except DataError as error:
        if "expected as many in both" not in str(error):
            raise ConfigError([f"{given.shown}: cannot be read: {error}"]) from error
        look.faults.append(f"{error}; a run refuses them")
    look.lines = sampler.count
    if not look.lines:
        look.faults.append("nothing is in it")
        return look
    _tell_reasons(look, reasons)
    # Which columns are its sides is not known yet.
    if not given.open:
        _tell_sides(look, sampler.blocks(), languages)
    return look


def _rows(given: Given, languages: Languages) -> Iterator[RawRow]:
    source = _Read.model_validate({"source": {**given.keys, "name": "new"}}).source
    return Origin("new", source, *languages, role="source").rows(_MOST_CHARACTERS)


def _empty(row: RawRow, parallel: bool) -> list[Reason]:
    missing = not (row.source or "").strip() or (parallel and not (row.reference or "").strip())
    return [Reason.EMPTY_SOURCE] if missing else []


def _tell_reasons(look: Look, reasons: Counter[Reason]) -> None:
    for reason, count in reasons.items():
        words = _WORDS.get(
            reason, "empty on a side" if reason is Reason.EMPTY_SOURCE else reason.value.replace("_", " ")
        )
        told = f"{count:,} of {look.lines:,} are {words}"
        (look.faults if count > _UNREADABLE * look.lines else look.notes).append(told)


def _tell_sides(look: Look, blocks: Sequence[Block], languages: Languages) -> None:
    ours = _language(blocks, "source", languages)
    if not look.parallel:
        _tell_language(look, "the text", ours, languages[0])
        return
    rows = [row for block in blocks for row in block.rows]
    same = sum((row.source or "").strip() == (row.reference or "").strip() for row in rows) / len(rows)
    if same >= _COPIES:
        look.faults.append(f"{same:.0%} of the lines are the same on both sides: one is a copy of the other")
        return
    theirs = _language(blocks, "reference", languages)
    if (ours, theirs) == (languages[1], languages[0]) and ours != theirs:
        look.faults.append(
            f"the source looks like {ours} and the target like {theirs}: the sides are swapped; give them the other "
            "way round"
        )
    else:
        _tell_language(look, "the source", ours, languages[0])
        _tell_language(look, "the target", theirs, languages[1])
    verdict = judge_sides(blocks)
    if not any("expected as many" in fault for fault in look.faults):
        look.notes += verdict.notes
    look.faults += verdict.faults


def _language(blocks: Sequence[Block], side: str, languages: Languages) -> str | None:
    """The language of most samples, one of the two by its tag; None where it cannot be told."""
    from stages.languages.identification import known_language

    tags: dict[Any, str] = {}
    for tag in reversed(languages):
        if (known := known_language(tag)) is not None:
            tags[known] = tag
    votes = Counter[str]()
    for sample in _samples(blocks, side):
        found = _detector().detect_language_of(sample)
        votes.update([tags.get(found, found.iso_code_639_1.name.lower())] if found else [])
    return votes.most_common(1)[0][0] if votes else None


def _samples(blocks: Sequence[Block], side: str) -> Iterator[str]:
    """Text from all over, as the first lines are often titles. Several of few blocks: of one sample in ten, of close
    languages or short texts, lingua says another language.
    """
    parts = 1 if len(blocks) > _FEWEST_SAMPLES else _FEWEST_SAMPLES
    for block in blocks:
        for part in range(parts):
            words = " ".join(text for row in block.rows[part::parts] if (text := getattr(row, side))).split()
            step = max(sum(map(len, words)) // _LETTERS, 1)
            sample = " ".join(" ".join(words[place : place + 12]) for place in range(0, len(words), 12 * step))[:4000]
            if sum(sign.isalpha() for sign in sample) >= _FEWEST_LETTERS:
                yield sample


@lru_cache(maxsize=1)
def _detector() -> "LanguageDetector":
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


def _tell_language(look: Look, side: str, told: str | None, expected: str) -> None:
    from stages.languages.identification import known_language

    if told is None or known_language(expected) is None:
        look.notes.append(f"whether {side} is in {expected} cannot be told")
    elif told == expected:
        look.notes.append(f"{side} is in {expected}")
    elif any({told, expected.split("-")[0]} <= near for near in _NEAR):
        look.notes.append(f"{side} looks like {told}, which is hard to tell from {expected}")
    else:
        look.faults.append(f"{side} looks like {told}, and {expected} was said; check --from and --to")
