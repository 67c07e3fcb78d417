"""The optimiser behind a sweep: better than chance, the same again, and none the worse for a kill."""

import math
import os
import statistics
from pathlib import Path
from typing import Any

import pytest

from pipeline.recipe.tune_config import Settings, TuneConfig
from pipeline.tuning.study import FILE, Study, Training

PLANE = {"student.x": {"low": -1.0, "high": 1.0}, "student.y": {"low": -1.0, "high": 1.0}}


@pytest.fixture(autouse=True)
def disk_that_need_not_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def tune(**section: Any) -> TuneConfig:
    return TuneConfig.model_validate({"metric": "valid_loss", "space": PLANE, **section})


def study(folder: Path, **section: Any) -> Study:
    return Study(folder, "test", tune(**section), Training("student", 4, 1))


def distance(settings: Settings) -> float:
    """From the optimum that the study is to find."""
    return math.hypot(settings["student.x"] - 0.3, settings["student.y"] + 0.4)


def go_on(found: Study, trials: int) -> list[Settings]:
    """Trials until there are so many; returns what those of this call set."""
    made = []
    while found.left(trials) > 0:
        trial, settings = found.begin()
        found.finish(trial, distance(settings) ** 2, {}, 1.0)
        made.append(settings)
    return made


def test_tpe_comes_nearer_to_the_optimum_than_chance(tmp_path: Path) -> None:
    """Of n uniform points of a square of area 4, the nearest is within d of its inside with 1 - (1 - pi d^2 / 4)^n."""
    chances = []
    for seed in range(5):
        nearest = min(map(distance, go_on(study(tmp_path / str(seed), seed=seed), 40)))
        chances.append(1 - (1 - math.pi * nearest**2 / 4) ** 40)
    # By chance these would be uniform: five of them have a mean below 0.2 with a probability of 0.8%.
    assert statistics.mean(chances) < 0.2


def test_equal_seeds_give_equal_trials_however_often_the_study_is_opened(tmp_path: Path) -> None:
    unbroken = go_on(study(tmp_path / "unbroken"), 12)
    broken = [settings for count in range(1, 13) for settings in go_on(study(tmp_path / "broken"), count)]
    assert broken == unbroken
    assert len({str(settings) for settings in unbroken}) == 12
    assert go_on(study(tmp_path / "other", seed=2), 12) != unbroken


def test_a_trial_cut_short_is_begun_again_as_it_was(tmp_path: Path) -> None:
    first = study(tmp_path)
    go_on(first, 2)
    cut, settings = first.begin()
    assert not first.report(cut, 1, 3.5)
    second = study(tmp_path)
    assert second.left(4) == 2
    again, same = second.begin()
    assert (again.number, same) == (cut.number, settings)
    # What it had reported is kept, and told again it is no second report.
    assert not second.report(again, 1, 9.0)
    assert second.rows()[2].curve == {1: 3.5}
    second.finish(again, 1.0, {}, 1.0)
    assert second.left(4) == 1


def test_what_a_kill_left_of_a_line_is_cut_off(tmp_path: Path) -> None:
    go_on(study(tmp_path), 3)
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')
    (tmp_path / f"{FILE}.lock").symlink_to(path)
    assert len(go_on(study(tmp_path), 5)) == 2
    assert path.read_bytes().startswith(whole)


def test_what_failed_is_tried_again_once_a_call(tmp_path: Path) -> None:
    first = study(tmp_path)
    trial, settings = first.begin()
    first.fail(trial, "the disk was full", 1.0)
    assert first.left(2) == 1
    second = study(tmp_path)
    assert second.left(2) == 2
    again, same = second.begin()
    assert same == settings
    second.finish(again, 1.0, {}, 1.0)
    third = study(tmp_path)
    assert third.left(2) == 1
    assert third.begin()[1] != settings
    assert [row.state for row in third.rows()] == ["failed", "done", "running"]


def test_a_grid_is_tried_in_order_and_ends(tmp_path: Path) -> None:
    space = {"student.x": {"low": -1.0, "high": 1.0, "step": 1.0}, "score.k": {"choices": [4, 16]}}
    made = []
    for count in (1, 3, 100):
        made += [
            (each["student.x"], each["score.k"])
            for each in _all_of(study(tmp_path, sampler="grid", space=space), count)
        ]
    assert made == [(x, k) for x in (-1.0, 0.0, 1.0) for k in (4, 16)]
    assert study(tmp_path, sampler="grid", space=space).left(100) == 0


def _all_of(found: Study, trials: int) -> list[Settings]:
    made = []
    while found.left(trials) > 0:
        trial, settings = found.begin()
        found.finish(trial, 1.0, {}, 1.0)
        made.append(settings)
    return made


@pytest.mark.parametrize(
    ("section", "worse", "better"),
    [
        ({}, 9.0, 1.0),
        ({"metric": "valid_accuracy"}, 0.1, 0.9),
        # The metric is better when more, what is watched when less.
        ({"metric": "chrf", "watch": "valid_loss"}, 9.0, 1.0),
    ],
)
def test_a_hopeless_trial_is_pruned_and_a_good_one_is_not(
    tmp_path: Path, section: dict[str, Any], worse: float, better: float
) -> None:
    found = study(tmp_path, startup_trials=3, warmup_steps=2, **section)
    for figure in (0.4 * worse + 0.6 * better, 0.5 * worse + 0.5 * better, 0.6 * worse + 0.4 * better):
        trial, _ = found.begin()
        assert not any(found.report(trial, step, figure) for step in (1, 2, 3))
        found.finish(trial, 1.0, {}, 1.0)
    good, _ = found.begin()
    assert not any(found.report(good, step, better) for step in (1, 2, 3))
    bad, _ = found.begin()
    assert [found.report(bad, step, worse) for step in (1, 2)] == [False, True]
    found.prune(bad, "hopeless", 1.0)
    row = found.rows()[bad.number]
    assert (row.state, row.value, row.curve, row.reason) == ("pruned", None, {1: worse, 2: worse}, "hopeless")


def test_a_value_that_is_no_number_counts_as_pruned(tmp_path: Path) -> None:
    found = study(tmp_path)
    trial, _ = found.begin()
    found.finish(trial, math.nan, {}, 1.0)
    [row] = found.rows()
    assert (row.state, row.reason) == ("pruned", "valid_loss is nan")


def test_what_moves_the_metric_is_told_once_there_is_enough_to_tell_it_by(tmp_path: Path) -> None:
    found = study(tmp_path, sampler="random")
    while found.left(60) > 0:
        trial, settings = found.begin()
        found.finish(trial, settings["student.x"] ** 2, {}, 1.0)
        assert (len(found.rows()) >= 20) == bool(found.importances())
    shares = found.importances()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["student.x"] > 0.8


def test_hyperband_ends_most_trials_early(tmp_path: Path) -> None:
    found = Study(tmp_path, "test", tune(pruner="hyperband"), Training("student", 27, 1))
    for _ in range(30):
        trial, settings = found.begin()
        if any(found.report(trial, step, distance(settings) + 1 / step) for step in range(1, 28)):
            found.prune(trial, "hyperband", 1.0)
        else:
            found.finish(trial, distance(settings), {}, 1.0)
    rows = found.rows()
    pruned = [distance(row.settings) for row in rows if row.state == "pruned"]
    assert 5 < len(pruned) < 30
    assert statistics.mean(pruned) > statistics.mean(distance(row.settings) for row in rows if row.state == "done")
