"""Kappas against examples that were worked out by others."""

import pytest

from stages.evaluate.people.agreement import cohen_kappa, fleiss_kappa


@pytest.mark.parametrize(
    ("both", "first", "second", "neither", "expected"),
    [(20, 5, 10, 15, 0.4), (45, 15, 25, 15, 0.1304), (25, 35, 5, 35, 0.2593)],
)
def test_cohens_kappa_of_two_raters(both: int, first: int, second: int, neither: int, expected: float) -> None:
    """The worked examples of https://en.wikipedia.org/wiki/Cohen%27s_kappa: who said yes, of so many."""
    pairs = [("yes", "yes")] * both + [("yes", "no")] * first + [("no", "yes")] * second + [("no", "no")] * neither
    assert cohen_kappa(pairs) == pytest.approx(expected, abs=5e-5)


def test_fleiss_kappa_of_fourteen_raters() -> None:
    """The worked example of https://en.wikipedia.org/wiki/Fleiss%27_kappa: 0.210."""
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    rows = [[kind for kind, count in enumerate(row) for _ in range(count)] for row in table]
    assert fleiss_kappa(rows) == pytest.approx(0.210, abs=5e-4)


def test_what_chance_explains_or_nobody_judged_has_no_kappa() -> None:
    assert cohen_kappa([]) is None
    assert fleiss_kappa([]) is None
    assert cohen_kappa([("tie", "tie")] * 3) is None
    assert fleiss_kappa([["tie", "tie", "tie"]] * 3) is None
    assert cohen_kappa([("a", "a"), ("b", "b")]) == 1
