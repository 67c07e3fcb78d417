"""Whether references are of their own rows: they are more like the translation than other rows' references are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.sides.sample import SHIFTS, Sample
from stages.sides.stretches import Stretch, clearest, evidence
from stages.text.chrf import chrf_matrices

# So many rows with a reference, and a stretch of them, say something.
FEWEST_ROWS, _FEWEST_IN_A_STRETCH = 40, 20
# A stretch counts from so much evidence on, in nats: by chance it is there once in some millions of corpora.
_SURE = 15.0
_MOST_FINDINGS = 3
# References of other rows that a row's own is compared with.
_OTHERS = 3
# How often the row's own reference is beaten by one of them where it is another row's, and where all is right. By
# chance it is three times of four; references of neighbours in one text are a little more alike than others.
_BEATEN = (0.65, 0.3)
_FEWEST_BEATEN = 0.6
# How often a line so much further is more alike: nearly always where it is the right one; else at most as often as not.
_NEARER = (0.75, 0.5)
# No stretch goes over such a row.
_CLOSED = -1e6

Signs = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Likeness:
    """Of the rows of a sample that have a reference, which ones they are, and how alike, [rows] each."""

    rows: npt.NDArray[np.int64]
    beaten: Signs  # 1: a reference of three others is more like the hypothesis, -1: its own is, 0: neither
    nearer: Signs  # [rows, SHIFTS]: 1: the reference so much further is more alike, -1: its own is, 0: neither, or none


@dataclass(frozen=True)
class Finding:
    """A stretch of a sample's rows, from `first` to `last`, whose references are not theirs.

    `shift`: where they are, in lines further; None where they are nowhere near. `looked_at`, `beaten`: how many of its
    rows were compared, and for how many another reference was more alike.
    """

    first: int
    last: int
    shift: int | None
    looked_at: int
    beaten: int


def compare(sample: Sample) -> Likeness:
    """How like each hypothesis is to its own reference, to three others', and to those that stand near."""
    rows = np.array([row for row, text in enumerate(sample.references) if text], dtype=np.int64)
    own = [str(sample.references[row]) for row in rows]
    # The order of the sample is that of its lines; others are taken from far away.
    others = [[own[(at + step) % len(own)] for step in _steps(len(own))] for at in range(len(own))]
    near = [sample.near[row] for row in rows]
    texts = [
        ([sample.hypotheses[row]], [mine, *other, *(text or "" for text in around)])
        for row, mine, other, around in zip(rows, own, others, near, strict=True)
    ]
    found = np.array([matrix[0] for matrix in chrf_matrices(texts)]).reshape(len(rows), 1 + _OTHERS + len(SHIFTS))
    # What reads the same is as good as its own.
    same = np.array([[other == mine for other in row] for row, mine in zip(others, own, strict=True)]).reshape(
        -1, _OTHERS
    )
    best = np.where(same, 0.0, found[:, 1 : 1 + _OTHERS]).max(axis=1, initial=0.0)
    missing = np.array([[text is None for text in row] for row in near]).reshape(-1, len(SHIFTS))
    nearer = np.where(missing, 0, np.sign(found[:, 1 + _OTHERS :] - found[:, :1]))
    return Likeness(rows, np.sign(best - found[:, 0]).astype(np.int8), nearer.astype(np.int8))


def _steps(rows: int) -> list[int]:
    return [max(rows * number // (_OTHERS + 1), 1) for number in range(1, _OTHERS + 1)]


def findings(likeness: Likeness) -> list[Finding]:
    """Stretches whose references are not theirs, the clearest first; none where too few rows say anything."""
    found: list[Finding] = []
    if len(likeness.rows) < FEWEST_ROWS:
        return found
    open_rows = np.ones(len(likeness.rows), dtype=bool)
    while len(found) < _MOST_FINDINGS and (next_one := _clearest(likeness, open_rows)) is not None:
        stretch, shift = next_one
        open_rows[stretch.rows] = False
        signs = likeness.beaten[stretch.rows]
        found.append(
            Finding(
                int(likeness.rows[stretch.begin]),
                int(likeness.rows[stretch.end - 1]),
                shift,
                int((signs != 0).sum()),
                int((signs > 0).sum()),
            )
        )
    return found


def _clearest(likeness: Likeness, open_rows: npt.NDArray[np.bool_]) -> tuple[Stretch, int | None] | None:
    """The stretch with most evidence among the rows that are left; of one that was found none goes over."""
    shifted = [
        (clearest(np.where(open_rows, evidence(likeness.nearer[:, number], *_NEARER), _CLOSED)), shift)
        for number, shift in enumerate(SHIFTS)
    ]
    stretch, shift = max(shifted, key=lambda pair: pair[0].evidence)
    if stretch.evidence >= _SURE and stretch.end - stretch.begin >= _FEWEST_IN_A_STRETCH:
        return stretch, shift
    stretch = clearest(np.where(open_rows, evidence(likeness.beaten, *_BEATEN), _CLOSED))
    signs = likeness.beaten[stretch.rows]
    told = (signs != 0).sum()
    if stretch.evidence >= _SURE and told >= _FEWEST_IN_A_STRETCH and (signs > 0).sum() >= _FEWEST_BEATEN * told:
        return stretch, _shift_in(likeness.nearer[stretch.rows])
    return None


def _shift_in(nearer: Signs) -> int | None:
    """Where most of a stretch's references are, if they are in one place; too few rows may have told it by itself."""
    more, less = (nearer > 0).sum(axis=0), (nearer < 0).sum(axis=0)
    best = int(np.argmax(more - less))
    enough = more[best] >= max(_NEARER[0] * (more[best] + less[best]), _FEWEST_IN_A_STRETCH / 2)
    return SHIFTS[best] if enough else None
