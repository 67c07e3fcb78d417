"""From what is varied to settings of a recipe."""

import tomllib
from typing import Any

import pytest
from optuna.trial import FixedTrial

from pipeline.recipe.overrides import apply_overrides
from pipeline.recipe.tune_config import Dimension
from pipeline.tuning.space import draw, ends, grid, override_texts, toml_text

SPACE = {
    "student.rate": Dimension(low=0.01, high=1.0, log=True),
    "student.depth": Dimension(low=1, high=3),
    "score.k": Dimension(choices=[4, 64]),
    "student.start.layers": Dimension(choices=[[1, 4], []]),
    "size": Dimension(variants={"small": {"student.width": 8}, "large": {"student.width": 16, "student.heads": 2}}),
}


def test_a_trial_sets_keys_to_values_of_their_own_kind() -> None:
    drawn: dict[str, Any] = {
        "student.rate": 0.123456789,
        "student.depth": 2,
        "score.k": "64",
        "student.start.layers": "[1, 4]",
        "size": "large",
    }
    assert draw(SPACE, FixedTrial(drawn)) == {  # type: ignore[arg-type]
        "student.rate": 0.1235,
        "student.depth": 2,
        "score.k": 64,
        "student.start.layers": [1, 4],
        "student.width": 16,
        "student.heads": 2,
    }


def test_a_number_with_four_digits_stays_in_its_range() -> None:
    space = {"student.x": Dimension(low=0.12346, high=0.12348)}
    assert draw(space, FixedTrial({"student.x": 0.12347})) == {"student.x": 0.12348}  # type: ignore[arg-type]


def test_ends_are_those_of_ranges_and_every_choice_and_variant() -> None:
    assert list(ends(SPACE)) == [
        ("student.rate = 0.01", {"student.rate": 0.01}),
        ("student.rate = 1.0", {"student.rate": 1.0}),
        ("student.depth = 1", {"student.depth": 1}),
        ("student.depth = 3", {"student.depth": 3}),
        ("score.k = 4", {"score.k": 4}),
        ("score.k = 64", {"score.k": 64}),
        ("student.start.layers = [1, 4]", {"student.start.layers": [1, 4]}),
        ("student.start.layers = []", {"student.start.layers": []}),
        ("size = small", {"student.width": 8}),
        ("size = large", {"student.width": 16, "student.heads": 2}),
    ]


def test_a_grid_has_every_combination_once() -> None:
    space = {"a.x": Dimension(low=0.1, high=0.4, step=0.1), "a.n": Dimension(low=1, high=2), "a.c": SPACE["score.k"]}
    points = grid(space)
    assert len(points) == 4 * 2 * 2
    assert points[0] == {"a.x": 0.1, "a.n": 1, "a.c": "4"}
    assert points[1] == {"a.x": 0.1, "a.n": 1, "a.c": "64"}
    assert points[-1]["a.x"] == pytest.approx(0.4)
    assert len({str(point) for point in points}) == len(points)


@pytest.mark.parametrize(
    "value",
    [3, -1, 0.25, 1e-05, 1e30, True, False, 'grün "x" \\ \n\t', "", [1, [2.5, "a"]], {"a b": {"c": [1]}, "d": False}],
)
def test_values_are_written_as_toml_reads_them(value: Any) -> None:
    assert tomllib.loads(f"value = {toml_text(value)}")["value"] == value


def test_settings_come_back_from_the_words_of_the_command_line() -> None:
    settings = {
        "student.objective.features[0].weight": 0.5,
        "student.data": {"hypothesis": 0.7},
        "select.metric": "chrf",
    }
    document: dict[str, Any] = {"student": {"objective": {"features": [{}]}}}
    assert apply_overrides(document, override_texts(settings)) == []
    assert document == {
        "student": {"objective": {"features": [{"weight": 0.5}]}, "data": {"hypothesis": 0.7}},
        "select": {"metric": "chrf"},
    }
