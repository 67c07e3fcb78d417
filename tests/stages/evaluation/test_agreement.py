"""Kappas against examples that were worked out by others."""

import pytest

from stages.evaluation.agreement import cohen_kappa, fleiss_kappa


def test_cohens_kappa_of_fifty_proposals() -> None:
    """Both yes 20, both no 15, one and not the other 5 and 10: kappa is 0.4 (observed 0.7, by chance 0.5)."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)


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
