"""What filled sheets say: which system people prefer, how much of the meaning they find, and whether they agree."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from stages.evaluate.people.agreement import cohen_kappa, fleiss_kappa
from stages.evaluate.people.sheet import Key, read_sheet, row_digest
from stages.evaluate.resampling import mean_interval

TIE = "tie"
_ADEQUACY = {str(number): number for number in range(1, 6)}
_MOST_FAULTS = 20
# Two-sided, 95%.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Rating:
    """One rater's judgement of one row: -1, 0 or 1 for the second system, a tie or the first; None where not given."""

    preference: int | None
    adequacy: tuple[int | None, int | None]  # of the first system, of the second
    preferred_side: str  # A, B or nothing


def rate_sheets(sheets: Sequence[Path], key_path: Path, *, samples: int = 1000, seed: int = 12345) -> dict[str, Any]:
    """Scores filled sheets of one key, one a rater.

    A sentence is won by the system that more raters preferred; wins, ties and losses are the first system's. Keys:
    systems, sentences, raters (each one's counts), wins, ties, losses, win_share with its interval (Wilson), p_value
    (sign test), adequacy by system, adequacy_difference, sides, agreement. Raises DataError when a sheet is of another
    key, was changed, or has a cell that is none of the allowed ones: all such cells are named.
    """
    key = Key.read(key_path)
    raters = [_read(path, key) for path in sheets]
    votes = {name: _vote([rater[name].preference for rater in raters if name in rater]) for name in key.rows}
    signs = [vote for vote in votes.values() if vote is not None]
    wins, ties, losses = (sum(sign == wanted for sign in signs) for wanted in (1, 0, -1))
    decided = wins + losses
    return {
        "systems": list(key.systems),
        "sentences": len(key.rows),
        "judged": len(signs),
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "win_share": wins / decided if decided else None,
        "win_share_interval": list(wilson_interval(wins, decided)) if decided else None,
        "p_value": sign_test(wins, losses),
        **_adequacy(key, raters, samples, seed),
        "sides": {side: sum(r.preferred_side == side for rater in raters for r in rater.values()) for side in "AB"},
        "raters": [_counts(path, key, rater) for path, rater in zip(sheets, raters, strict=True)],
        "agreement": _agreement(key, raters),
    }


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact binomial test of wins against losses, ties left out: the chance of a split at least so uneven.

    1 where nothing was decided. https://en.wikipedia.org/wiki/Sign_test
    """
    total, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(total, number) for number in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << total))


def wilson_interval(wins: int, total: int) -> tuple[float, float]:
    """95% score interval of a share, 0..1 (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953)."""
    share, spread = wins / total, _Z**2 / total
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max((middle - half) / (1 + spread), 0.0), min((middle + half) / (1 + spread), 1.0)


def _read(path: Path, key: Key) -> dict[str, Rating]:
    """A rater's judgements by id; raises DataError with every fault of the sheet."""
    faults: list[str] = []
    found: dict[str, Rating] = {}
    for row in read_sheet(path):
        where, name = f"row {row['row']}", row["id"]
        if name not in key.rows:
            faults.append(f"{where}: its id {name!r} is not in the key; it belongs to another sheet")
        elif name in found:
            faults.append(f"{where}: its id {name!r} is there twice; remove one of the rows")
        elif row_digest(row) != key.rows[name][1]:
            faults.append(
                f"{where}: its texts are not those that were handed out; copy the judgements to the sheet as it was "
                "written, opened with all columns as text"
            )
        else:
            found[name] = _rating(row, where, key.rows[name][0], faults)
    if faults:
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        raise DataError("\n".join(f"{path}: {fault}" for fault in [*faults[:_MOST_FAULTS], *more]))
    return found


def _rating(row: Mapping[str, str], where: str, first: int, faults: list[str]) -> Rating:
    """`first`: which system is A."""
    said = row["preference"].casefold()
    sides = {"a": 1, "b": -1, TIE: 0}
    if said and said not in sides:
        faults.append(f"{where}, column preference: {row['preference']!r}; expected A, B or tie")
    adequacy = [_grade(row[f"adequacy {side}"], f"{where}, column adequacy {side}", faults) for side in "AB"]
    turn = -1 if first else 1
    preference = sides[said] * turn if said in sides else None
    own, other = adequacy if not first else adequacy[::-1]
    return Rating(preference, (own, other), said.upper() if said in ("a", "b") else "")


def _grade(cell: str, where: str, faults: list[str]) -> int | None:
    if not cell:
        return None
    if cell not in _ADEQUACY:
        faults.append(f"{where}: {cell!r}; expected a whole number from 1 to 5")
    return _ADEQUACY.get(cell)


def _vote(preferences: Sequence[int | None]) -> int | None:
    """The sign of what all who judged said together; None where nobody did."""
    said = [preference for preference in preferences if preference is not None]
    total = sum(said)
    return (total > 0) - (total < 0) if said else None


def _adequacy(key: Key, raters: Sequence[Mapping[str, Rating]], samples: int, seed: int) -> dict[str, Any]:
    """Means over sentences of the raters' mean, 1..5; the difference over sentences of which both have one."""
    by_system = [_mean_grades(key, raters, place) for place in (0, 1)]
    both = [first - by_system[1][name] for name, first in by_system[0].items() if name in by_system[1]]
    found = {
        name: _mean(list(grades.values()), samples, seed) for name, grades in zip(key.systems, by_system, strict=True)
    }
    return {"adequacy": found, "adequacy_difference": _mean(both, samples, seed)}


def _mean_grades(key: Key, raters: Sequence[Mapping[str, Rating]], place: int) -> dict[str, float]:
    given = {name: [rater[name].adequacy[place] for rater in raters if name in rater] for name in key.rows}
    grades = {name: [grade for grade in row if grade is not None] for name, row in given.items()}
    return {name: sum(row) / len(row) for name, row in grades.items() if row}


def _mean(values: Sequence[float], samples: int, seed: int) -> dict[str, Any] | None:
    if not values:
        return None
    interval = mean_interval(values, samples, seed)
    return {"mean": sum(values) / len(values), "interval": interval, "sentences": len(values)}


def _counts(path: Path, key: Key, rater: Mapping[str, Rating]) -> dict[str, Any]:
    said = [rating.preference for rating in rater.values() if rating.preference is not None]
    return {
        "sheet": str(path),
        "wins": said.count(1),
        "ties": said.count(0),
        "losses": said.count(-1),
        "unfilled": len(rater) - len(said),
        "missing_rows": len(key.rows) - len(rater),
    }


def _agreement(key: Key, raters: Sequence[Mapping[str, Rating]]) -> dict[str, Any] | None:
    """Kappa over rows that all raters judged; None for one rater alone."""
    if len(raters) < 2:
        return None
    rows = [[rater[name].preference for rater in raters] for name in sorted(key.rows) if all(name in r for r in raters)]
    full = [[said for said in row if said is not None] for row in rows]
    full = [row for row in full if len(row) == len(raters)]
    pairs = len(raters) == 2
    kappa = cohen_kappa([(row[0], row[1]) for row in full]) if pairs else fleiss_kappa(full)
    alike = sum(len(set(row)) == 1 for row in full)
    return {"kappa": kappa, "kind": "Cohen" if pairs else "Fleiss", "sentences": len(full), "alike": alike}
