"""Agreement of raters beyond chance: 1 where all say the same, 0 where chance would agree as often."""

from collections import Counter
from collections.abc import Hashable, Sequence


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Of two raters who put each item into a class (Cohen 1960, https://doi.org/10.1177/001316446002000104).

    None where there is no item, or chance alone agrees on all.
    """
    if not pairs:
        return None
    number = len(pairs)
    observed = sum(one == other for one, other in pairs) / number
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    expected = sum(first[name] * second[name] for name in first) / number**2
    return _beyond_chance(observed, expected)


def fleiss_kappa(rows: Sequence[Sequence[Hashable]]) -> float | None:
    """Of the same number, two or more, of raters an item (Fleiss 1971, https://doi.org/10.1037/h0031619).

    None where there is no item, or chance alone agrees on all.
    """
    if not rows:
        return None
    raters, counts = len(rows[0]), [Counter(row) for row in rows]
    pairs = raters * (raters - 1)
    observed = sum(sum(n * (n - 1) for n in row.values()) / pairs for row in counts) / len(rows)
    whole = sum(counts, Counter())
    expected = sum((n / (raters * len(rows))) ** 2 for n in whole.values())
    return _beyond_chance(observed, expected)


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if expected >= 1 else (observed - expected) / (1 - expected)
