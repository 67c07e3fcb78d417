"""A look at text files before anything is run: lines, languages, and whether their sides belong together."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.errors import ConfigError, DataError
from stages.corpus.readers.lines import read_lines

# Lines that are compared and whose language is told.
SAMPLE = 2000
# Sides that are moved against each other by so many lines are found.
SHIFTS = (1, -1, 2, -2, 3, -3)
# Lengths of translations go together: in parallel text their correlation is above 0.8. Below this it is as by chance.
TOGETHER = 0.3
# Lines that are moved against each other go together as well as others do.
MOVED = 0.6
# Bytes of a line that are looked at.
_LONGEST = 100_000
# Letters of which lingua is asked.
_LETTERS = 4000


@dataclass
class Look:
    """What was found of one pair of files, or of a file alone; `faults` make a recipe of them worthless."""

    source: Path
    target: Path | None
    lines: int
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def look_at(source: Path, target: Path | None, languages: tuple[str, str]) -> Look:
    """Reads both files once; raises ConfigError when one cannot be read as text."""
    ours, lines = _read(source)
    look = Look(source, target, lines)
    if not lines:
        look.faults.append(f"{source} is empty")
        return look
    told = _language(ours, languages)
    if target is None:
        _tell_language(look, source, told, languages[0])
        return look
    theirs, others = _read(target)
    if others != lines:
        look.faults.append(
            f"{source} has {lines:,} lines and {target} has {others:,}: they are not parallel line by line; a recipe "
            "would be refused"
        )
    elif ours == theirs:
        look.faults.append(f"{source} and {target} begin with the same {len(ours):,} lines: one is a copy of the other")
    else:
        _tell_whether_parallel(look, ours, theirs)
    theirs_told = _language(theirs, languages)
    if (told, theirs_told) == (languages[1], languages[0]):
        look.faults.append(
            f"{source} looks like {languages[1]} and {target} like {languages[0]}: the sides are swapped; give them "
            "the other way round"
        )
        return look
    _tell_language(look, source, told, languages[0])
    _tell_language(look, target, theirs_told, languages[1])
    return look


def _read(path: Path) -> tuple[list[str], int]:
    """The first lines, and how many there are."""
    lines = read_lines(str(path), _LONGEST)
    try:
        sample = [line.text.strip() for line in itertools.islice(lines, SAMPLE)]
        count = len(sample) + sum(1 for _ in lines)
    except DataError as error:
        raise ConfigError([f"{path}: cannot be read as text: {error}"]) from error
    if any("\0" in line for line in sample):
        raise ConfigError([f"{path}: holds zero bytes, so it is no UTF-8 text; convert it, or unpack it"])
    return sample, count


def _tell_whether_parallel(look: Look, ours: Sequence[str], theirs: Sequence[str]) -> None:
    """By the lengths of lines: longer sentences have longer translations, and other lines' have not."""
    one, other = (np.log1p([len(line) for line in lines]) for lines in (ours, theirs))
    if len(one) < 30 or one.std() < 0.1 or other.std() < 0.1:
        look.notes.append("too few lines, or all of one length: whether they belong together was not looked at")
        return
    own = _correlation(one, other, 0)
    best = max(SHIFTS, key=lambda shift: _correlation(one, other, shift))
    if _correlation(one, other, best) > max(own + 0.2, MOVED):
        side, lines = ("the target", best) if best > 0 else ("the source", -best)
        look.faults.append(
            f"{side} is {lines} line{'s' * (lines > 1)} behind: lines belong together when it is moved up; repair "
            "the files"
        )
    elif own < TOGETHER:
        look.faults.append(
            f"lines belong together no more than by chance (their lengths' correlation is {own:.2f}, in parallel text "
            "above 0.8): are these the same documents in the same order?"
        )
    else:
        look.notes.append(f"lines belong together (their lengths' correlation is {own:.2f})")


def _correlation(one: np.ndarray, other: np.ndarray, shift: int) -> float:
    """Of lines of one side with those `shift` lines further down the other."""
    first, second = (
        (one[: len(one) - shift], other[shift:]) if shift >= 0 else (one[-shift:], other[: len(other) + shift])
    )
    return float(np.corrcoef(first, second)[0, 1])


def _language(lines: Sequence[str], languages: tuple[str, str]) -> str | None:
    """Which of the two the text is in, or another that lingua finds; None where it cannot be told."""
    from lingua import LanguageDetectorBuilder

    from stages.languages.identification import known_language

    text = " ".join(lines)[:_LETTERS]
    if sum(sign.isalpha() for sign in text) < 40:
        return None
    known = {known_language(tag): tag for tag in languages}
    found = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build().detect_language_of(text)
    if found is None:
        return None
    return known.get(found, found.iso_code_639_1.name.lower())


def _tell_language(look: Look, path: Path, told: str | None, expected: str) -> None:
    if told is None:
        look.notes.append(f"{path.name}: which language it is in cannot be told")
    elif told != expected:
        look.faults.append(f"{path} looks like {told}, and {expected} was said; check --from and --to")
