"""`potstill tune` over the toy stages: what is run, what is kept, what is told."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import ConfigError, DataError, PotstillError
from pipeline.planning.scope import open_planner
from pipeline.recipe.recipe import read_recipe
from pipeline.running.cluster import Cluster
from pipeline.running.launch import ClusterOptions, locked
from pipeline.running.runner import RunError
from pipeline.terminal.progress import PlainDisplay
from pipeline.tuning.candidates import Source, check_space, study_digest
from pipeline.tuning.results import Results
from pipeline.tuning.tune import tune_recipe
from tests.pipeline.toy.registry import TOY_STAGES

TEXT = """
[corpus]
rows = 20
shard_rows = 5
[base]
[student]
[tune]
trials = 6
metric = "valid_loss"
startup_trials = 2
[tune.space]
"student.x" = {low = -1.0, high = 1.0}
"student.y" = {low = -1.0, high = 1.0}
"""


class Toy:
    """Sweeps of a recipe in a folder of their own."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self._cluster = folder, cluster
        self.lines: list[str] = []

    def source(self, *overrides: str, text: str = TEXT) -> Source:
        path = self.folder / "toy.toml"
        path.write_text(text)
        return Source(path, (f"run.store={self.folder / 'runs'}", *overrides), TOY_STAGES)

    def tune(self, *overrides: str, text: str = TEXT, offline: bool = False, **options: Any) -> Results:
        address = "tcp://127.0.0.1:1" if offline else self._cluster.client.scheduler.address
        self.lines = []
        return tune_recipe(
            self.source(*overrides, text=text),
            lambda: PlainDisplay(self.lines.append, interval=0),
            ClusterOptions(address, None, dashboard=False),
            **options,
        )


@pytest.fixture
def toy(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Toy(tmp_path, cluster)


def loss(settings: dict[str, Any], steps: int = 4) -> float:
    """What tests/pipeline/toy/train.py comes to."""
    return float((settings["student.x"] - 0.3) ** 2 + (settings["student.y"] + 0.4) ** 2 + 1 / steps)


def test_a_sweep_tries_what_it_says_and_shares_what_does_not_vary(toy: Toy, tmp_path: Path) -> None:
    results = toy.tune(f"shout.trace={tmp_path}", "tune.pruner=none")
    assert [row.state for row in results.rows] == ["done"] * 6
    assert [row.value for row in results.rows] == pytest.approx([loss(row.settings) for row in results.rows])
    assert results.best is not None
    assert results.best.value == min(row.value for row in results.rows if row.value is not None)
    assert len(list(tmp_path.glob("ended-run-*"))) == 4
    assert sum("student: begins" in line for line in toy.lines) == 6
    # Nobody asked for the comparison.
    assert not any("base" in line for line in toy.lines)
    assert any(line.startswith("6 trials to go, 1 at a time; 2 worker threads") for line in toy.lines)


def test_its_results_are_there_to_read(toy: Toy) -> None:
    results = toy.tune("tune.pruner=none")
    found = json.loads((results.folder / "tune.json").read_text())
    assert [trial["value"] for trial in found["trials"]] == [row.value for row in results.rows]
    assert found["best"] == min(found["trials"], key=lambda trial: float(trial["value"]))["trial"]
    first = results.rows[0].settings
    assert found["trials"][0]["curve"] == [[step, pytest.approx(loss(first, step))] for step in (1, 2, 3, 4)]
    with (results.folder / "tune.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames is not None
    assert len(set(reader.fieldnames)) == len(reader.fieldnames)
    assert [float(row["value"]) for row in rows] == [row.value for row in results.rows]
    assert [float(row["student.x"]) for row in rows] == [row.settings["student.x"] for row in results.rows]
    assert rows[0]["valid_accuracy"] == f"-{rows[0]['valid_loss']}"
    assert (results.folder / "tune.svg").read_text().startswith("<?xml")
    lines = results.table().splitlines()
    assert lines[0].split() == ["trial", "state", "valid_loss", "x", "y", "seconds"]
    assert lines[1].split()[:2] == [str(found["best"]), "done"]
    assert len(lines) == 7 + 3


def test_the_best_trial_is_reproduced_by_the_command_that_is_told_and_costs_nothing(toy: Toy) -> None:
    results = toy.tune()
    words = list(results.command)
    assert words[:3] == ["potstill", "run", str(toy.folder / "toy.toml")]
    assert words[3::2] == ["--set"] * len(words[4::2])
    recipe = read_recipe(Path(words[2]), words[4::2], TOY_STAGES)
    steps = {step.node.name: step.state for step in open_planner(recipe).plan(recipe.graph)}
    assert steps["student"] == "done"


def test_a_finished_sweep_costs_nothing_and_more_trials_go_on_from_it(toy: Toy) -> None:
    first = toy.tune()
    assert toy.tune(offline=True).rows == first.rows
    assert toy.lines == []
    more = toy.tune(trials=8)
    assert list(more.rows[:6]) == list(first.rows)
    assert len(more.rows) == 8


def test_trials_that_were_run_before_are_free(toy: Toy, tmp_path: Path) -> None:
    choices = '"student.x" = {choices = [0.0, 0.5]}'
    text = TEXT.split("[tune.space]")[0] + f"[tune.space]\n{choices}\n"
    options = (f"student.trace={tmp_path}", "tune.sampler=grid")
    first = toy.tune(*options, text=text)
    again = toy.tune(*options, "tune.seed=7", text=text)
    assert again.folder != first.folder
    assert [row.value for row in again.rows] == [row.value for row in first.rows]
    assert [row.curve for row in again.rows] == [row.curve for row in first.rows]
    assert [len(row.curve) for row in first.rows] == [4, 4]
    assert len(list(tmp_path.glob("from *"))) == 2


def test_a_hopeless_trial_is_pruned_and_leaves_nothing_complete(toy: Toy) -> None:
    # Each is better than those before it, but for the last.
    space = '"student.x" = {choices = [0.28, 0.29, 0.3, -1.0]}'
    text = TEXT.split("[tune.space]")[0] + f"[tune.space]\n{space}\n"
    options = ("tune.sampler=grid", "student.optimiser.steps=60", "student.seconds=0.02")
    results = toy.tune(*options, text=text)
    assert [row.state for row in results.rows] == ["done"] * 3 + ["pruned"]
    last = results.rows[-1]
    assert 1 <= max(last.curve) < 60
    assert last.reason.startswith("valid_loss ")
    assert any(line.startswith("trial 3, student: stopped after") for line in toy.lines)
    assert any(line.startswith("trial 3: pruned: valid_loss") for line in toy.lines)
    recipe = toy.source(*options, text=text).read(last.settings)
    assert open_planner(recipe).plan(recipe.graph.up_to("student"))[-1].state == "to do"


def test_a_figure_of_a_later_table_is_maximised_and_pruned_by_what_is_watched(toy: Toy) -> None:
    results = toy.tune("tune.metric=parts.chrf", "tune.watch=valid_loss", "tune.trials=4")
    assert results.best is not None
    assert results.best.value == max(row.value for row in results.rows if row.value is not None)
    assert results.best.value == pytest.approx(50 - loss(results.best.settings))
    assert results.best.figures["valid_loss"] == pytest.approx(loss(results.best.settings))


def test_variants_set_several_keys_together(toy: Toy) -> None:
    space = """
    [tune.space.shape.variants]
    flat = {"student.layers" = [1], "student.depth" = 1, "student.x" = 0.1}
    deep = {"student.layers" = [1, 3], "student.depth" = 2, "student.x" = 0.2}
    """
    text = TEXT.split("[tune.space]")[0] + space
    results = toy.tune("tune.sampler=grid", text=text)
    assert [row.settings["student.layers"] for row in results.rows] == [[1], [1, 3]]
    assert results.best is not None
    assert results.best.settings["student.depth"] == 2


def test_settings_that_do_not_go_together_are_pruned_with_the_reason(toy: Toy) -> None:
    space = '[tune.space]\n"student.x" = {choices = [0.0, 1.0]}\n"student.y" = {choices = [0.0, 1.0]}\n'
    results = toy.tune("tune.sampler=grid", text=TEXT.split("[tune.space]")[0] + space)
    assert [row.state for row in results.rows] == ["done"] * 3 + ["pruned"]
    assert results.rows[3].reason == "no valid recipe: student.y: is 1, as x is; lower one of them"


def test_all_faults_of_a_space_are_told_before_the_first_trial(toy: Toy) -> None:
    space = """[tune.space]
    "student.x" = {low = -2.0, high = 3.0}
    "student.why" = {choices = [1, 2]}
    "shout.mark" = {choices = ["!", "much too long"]}
    "total.factor" = {low = 1, high = 3}
    """
    with pytest.raises(ConfigError) as told:
        toy.tune(text=TEXT.split("[tune.space]")[0] + space, offline=True)
    faults = told.value.faults
    assert faults[0].endswith("what [tune] varies: 6 faults")
    assert faults[1].startswith("tune.space: with student.x = -2.0: student.x: -2.0 is out of range")
    assert faults[2].startswith("tune.space: with student.x = 3.0: student.x: 3.0 is out of range")
    assert faults[3].startswith("tune.space: with student.why = 1: student.why: unknown key")
    assert "student.why = 2" in faults[4]
    assert faults[5].startswith('tune.space: with shout.mark = "much too long": shout.mark: ')
    assert faults[6] == "tune.space: total.factor changes nothing in student or in what it needs; vary another key"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tune.until=studnet", "no such stage; did you mean student?"),
        ("tune.trials=0", "tune.trials: 0 is out of range"),
    ],
)
def test_faults_of_the_section_are_told(toy: Toy, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        toy.tune(override, offline=True)


def test_a_recipe_without_the_section_has_nothing_to_vary(toy: Toy) -> None:
    with pytest.raises(ConfigError, match=r"has no section \[tune.space\]"):
        toy.tune(text=TEXT.split("[tune]")[0], offline=True)


def test_a_metric_that_nobody_measures_ends_the_sweep_at_its_first_trial(toy: Toy) -> None:
    with pytest.raises(DataError, match=r"no stage of the trial measures 'valid_chrf'; measured are .*parts\.chrf"):
        toy.tune("tune.metric=valid_chrf", "tune.watch=valid_loss")
    assert sum("student: begins" in line for line in toy.lines) == 1


def test_trials_that_fail_are_told_and_tried_again_by_the_next_call(toy: Toy) -> None:
    text = TEXT.split("[tune.space]")[0] + '[tune.space]\n"student.trouble" = {choices = ["nan", "data", ""]}\n'
    results = toy.tune("tune.sampler=grid", text=text)
    assert [row.state for row in results.rows] == ["pruned", "failed", "done"]
    assert results.rows[0].reason == "valid_loss is nan"
    assert json.loads((results.folder / "tune.json").read_text())["trials"][0]["curve"][0] == [1, None]
    assert "stage student: nothing can be learnt from this" in results.rows[1].reason
    again = toy.tune("tune.sampler=grid", text=text)
    assert [row.state for row in again.rows] == ["pruned", "failed", "done", "failed"]
    assert again.rows[3].settings == {"student.trouble": "data"}


def test_trials_that_all_fail_end_the_sweep(toy: Toy) -> None:
    with pytest.raises(RunError, match="stage student: nothing can be learnt from this"):
        toy.tune("student.trouble=data", "tune.trials=20", "tune.parallel=1")
    assert sum("failed" in line and line.startswith("trial ") and ", student" not in line for line in toy.lines) == 3


def test_two_sweeps_of_a_recipe_do_not_meet(toy: Toy) -> None:
    with locked(toy.source().read()), pytest.raises(PotstillError, match="another run is at work in"):
        toy.tune()


def test_a_study_is_another_when_anything_it_compares_is(toy: Toy) -> None:
    def folder(*overrides: str, **options: Any) -> str:
        return toy.tune("tune.trials=1", *overrides, **options).folder.name

    first = folder()
    assert folder("tune.trials=2", "tune.parallel=2", "run.retries=1") == first
    changes = ("shout.mark=?", "tune.seed=3", "student.optimiser.steps=5", "tune.pruner=none")
    others = {folder(change) for change in changes}
    assert len({first, *others}) == 5


def test_a_study_is_another_when_a_file_or_a_library_is(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    words = toy.folder / "words.txt"
    words.write_text("alpha")

    def digest() -> str:
        source = toy.source(f"corpus.words={words}")
        tune = source.read().tune
        assert tune is not None
        return study_digest(source, tune, check_space(source, tune))

    first = digest()
    assert digest() == first
    words.write_text("other words")
    second = digest()
    monkeypatch.setattr("tests.pipeline.toy.train.LIBRARIES", ("numpy",))
    assert len({first, second, digest()}) == 3


def test_trials_go_side_by_side_and_each_comes_to_its_own(toy: Toy) -> None:
    results = toy.tune("student.seconds=0.05", "tune.pruner=none", "tune.parallel=2")
    assert [row.value for row in results.rows] == pytest.approx([loss(row.settings) for row in results.rows])
    begun = [index for index, line in enumerate(toy.lines) if line.endswith("student: begins")]
    ended = [index for index, line in enumerate(toy.lines) if "student: done" in line]
    assert begun[1] < ended[0]
