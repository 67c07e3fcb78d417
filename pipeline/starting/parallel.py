"""Whether two sides are each other's translation, line by line: by their lengths, and by what is not translated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.starting.sampling import Block
from stages.corpus.readers.rows import RawRow
from stages.text.measures import has_marks, numbers_lost, placeholders_lost

# Sides that are moved against each other by so many lines are found.
_SHIFTS = (1, -1, 2, -2, 3, -3)
# Lengths of translations go together: in parallel text their correlation is above 0.8. Below this it is as by chance.
_TOGETHER = 0.3
# Lines that are moved against each other go together as well as others do.
_MOVED = 0.6
_FEWEST = 30
_END_ROWS = 100
# A list of terms may stand in good text; so large a share of it is a fault.
_SPOILT = 0.2
# Lines with numbers or placeholders from which a share can be told, and how far above chance it is where sides match.
_FEWEST_MARKED, _ABOVE_CHANCE = 50, 0.15
# How far away the line is with which chance is tried.
_ELSEWHERE = 17


@dataclass(frozen=True)
class Verdict:
    """What is to be told of the two sides."""

    notes: list[str]
    faults: list[str]


@dataclass(frozen=True)
class _Marks:
    """Of so many lines whose source has numbers or placeholders: the share of targets that have them all."""

    lines: int
    share: float
    chance: float

    def tell(self) -> bool:
        return self.lines >= _FEWEST_MARKED

    def words(self) -> str:
        return (
            f"of {self.lines:,} lines with numbers or placeholders {self.share:.0%} have them on the other side, and "
            f"{self.chance:.0%} of lines put together at random"
        )

    def agree(self) -> bool:
        return self.share >= self.chance + _ABOVE_CHANCE


def judge_sides(blocks: Sequence[Block]) -> Verdict:
    """By blocks of rows with both sides, in their order."""
    lengths = [_lengths(block.rows) for block in blocks]
    told = [
        (block, _shift_of(one, other), _correlation(one, other, 0)) for block, (one, other) in _telling(lengths, blocks)
    ]
    marks = _marks(blocks)
    shifted = [(block, shift) for block, shift, _ in told if shift]
    if found := shifted or _shifted_end(blocks):
        return Verdict([], [_shift_fault(found, everywhere=bool(told) and len(shifted) == len(told))])
    apart = [block for block, _, own in told if own < _TOGETHER]
    if marks.tell() and not marks.agree():
        return Verdict([], [_chance_fault(marks.words())])
    if told and len(apart) >= max(1, _SPOILT * len(told)) and not marks.tell():
        mean = float(np.mean([own for _, _, own in told]))
        where = "" if len(apart) == len(told) else f"from line {apart[0].first:,} on "
        return Verdict(
            [], [_chance_fault(f"{where}their lengths' correlation is {mean:.2f}, in parallel text above 0.8")]
        )
    if not told and not marks.tell():
        return Verdict(["too few lines, or all of one length: whether they belong together was not looked at"], [])
    return Verdict([_together(told, marks), *_doubts(apart)], [])


def _together(told: Sequence[tuple[Block, int, float]], marks: _Marks) -> str:
    parts = [f"their lengths' correlation is {np.median([own for _, _, own in told]):.2f}"] if told else []
    parts += [f"{marks.share:.0%} of numbers and placeholders are on both sides"] if marks.tell() else []
    return f"lines belong together ({'; '.join(parts)})"


def _doubts(apart: Sequence[Block]) -> Iterator[str]:
    if apart:
        first, last = apart[0].first, apart[0].first + len(apart[0].rows) - 1
        yield f"look at lines {first:,} to {last:,}: there lengths do not go together"


def _shifted_end(blocks: Sequence[Block]) -> list[tuple[Block, int]]:
    """What begins in the last block's second half shows at its end alone."""
    first, rows = blocks[-1]
    end = Block(first + len(rows) - _END_ROWS, rows[-_END_ROWS:])
    if len(rows) <= _END_ROWS:
        return []
    return [
        (end, shift) for _, (one, other) in _telling([_lengths(end.rows)], [end]) if (shift := _shift_of(one, other))
    ]


def _shift_fault(shifted: Sequence[tuple[Block, int]], *, everywhere: bool) -> str:
    block, shift = shifted[0]
    side, lines = ("the target", shift) if shift > 0 else ("the source", -shift)
    where = "" if everywhere else f" from about line {block.first:,} on"
    return (
        f"{side} is {lines} line{'s' * (lines > 1)} behind{where}: lines belong together when it is moved up; repair "
        "the files"
    )


def _chance_fault(why: str) -> str:
    return f"lines belong together no more than by chance ({why}): are these the same documents in the same order?"


Lengths = npt.NDArray[np.float64]


def _lengths(rows: Sequence[RawRow]) -> tuple[Lengths, Lengths]:
    one, other = (
        np.log1p([len((text or "").strip()) for text in side])
        for side in ([row.source for row in rows], [row.reference for row in rows])
    )
    return one, other


def _telling(
    lengths: Sequence[tuple[Lengths, Lengths]], blocks: Sequence[Block]
) -> Iterator[tuple[Block, tuple[Lengths, Lengths]]]:
    """Blocks whose lengths tell something."""
    for block, (one, other) in zip(blocks, lengths, strict=True):
        if len(one) >= _FEWEST and min(one.std(), other.std()) >= 0.1:
            yield block, (one, other)


def _shift_of(one: Lengths, other: Lengths) -> int:
    """By how many lines the other side is behind; 0 where it is not."""
    own = _correlation(one, other, 0)
    best = max(_SHIFTS, key=lambda shift: _correlation(one, other, shift))
    return best if _correlation(one, other, best) > max(own + 0.2, _MOVED) else 0


def _correlation(one: Lengths, other: Lengths, shift: int) -> float:
    """Of lines of one side with those `shift` lines further down the other; 0 where one side is all alike."""
    first, second = (
        (one[: len(one) - shift], other[shift:]) if shift >= 0 else (one[-shift:], other[: len(other) + shift])
    )
    return float(np.corrcoef(first, second)[0, 1]) if min(first.std(), second.std()) > 0 else 0.0


def _marks(blocks: Sequence[Block]) -> _Marks:
    own, chance = [], []
    for block in blocks:
        rows = [(row.source or "", row.reference or "") for row in block.rows]
        for place, (source, target) in enumerate(rows):
            if has_marks(source):
                elsewhere = rows[(place + _ELSEWHERE) % len(rows)][1]
                own.append(_keeps(source, target))
                chance.append(_keeps(source, elsewhere))
    return _Marks(len(own), float(np.mean(own)) if own else 0.0, float(np.mean(chance)) if chance else 0.0)


def _keeps(source: str, target: str) -> bool:
    return not numbers_lost(source, target) and not placeholders_lost(source, target)
