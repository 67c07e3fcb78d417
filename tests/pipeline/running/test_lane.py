"""Several graphs side by side in one runner."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.planning.plan import Step
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Graph
from pipeline.recipe.recipe import Recipe
from pipeline.running.cluster import Cluster
from pipeline.running.lane import Lane
from pipeline.running.runner import Runner, make_job
from pipeline.running.worker import Job
from pipeline.terminal.progress import PlainDisplay
from tests.pipeline.conftest import ReadToy

TEXT = "[corpus]\nrows = 20\nshard_rows = 5\n[student]\n"


def make_runner(cluster: Cluster, recipe: Recipe, lines: list[str]) -> Runner:
    display = PlainDisplay(lines.append, interval=0)
    return Runner(cluster, open_planner(recipe), display, retries=0, shards_in_flight=2, abreast=2)


def lane_to(recipe: Recipe, node: str, label: str) -> Lane:
    return Lane(recipe.graph.up_to(node), label=label)


def test_what_two_graphs_need_is_made_once_and_told_under_their_labels(
    cluster: Cluster, read_toy: ReadToy, tmp_path: Path
) -> None:
    lines: list[str] = []
    recipes = [read_toy(f"shout.trace={tmp_path}", f"student.x={x}", text=TEXT) for x in (0.1, 0.2)]
    lanes = [lane_to(recipe, "student", f"trial {number}") for number, recipe in enumerate(recipes)]
    runner = make_runner(cluster, recipes[0], lines)
    for lane in lanes:
        runner.begin(lane)
    while runner.busy:
        runner.turn()
    assert [sorted(lane.steps) for lane in lanes] == [["corpus", "shout", "student"]] * 2
    assert len(list(tmp_path.glob("ended-run-*"))) == 4
    assert {lane.steps["shout"].artifact.fingerprint for lane in lanes if lane.steps["shout"].artifact} != set()
    assert sum(line.endswith("student: begins") for line in lines) == 2
    assert sum(line.endswith("shout: begins") for line in lines) == 1
    assert {"trial 0, student: begins", "trial 1, student: begins"} <= set(lines)


def test_validations_reach_every_graph_that_waits_for_them(cluster: Cluster, read_toy: ReadToy) -> None:
    recipe = read_toy("student.seconds=0.02", text=TEXT)
    runner = make_runner(cluster, recipe, [])
    lanes = [lane_to(recipe, "student", label) for label in ("trial 0", "trial 1")]
    for lane in lanes:
        runner.begin(lane)
    while runner.busy:
        runner.turn()
    losses = [0.3**2 + 0.4**2 + 1 / step for step in (1, 2, 3, 4)]
    for lane in lanes:
        found = [(each.node, each.step, round(each.figures["valid_loss"], 9)) for each in lane.validations]
        # The last may come after the end.
        assert found == [("student", step, round(loss, 9)) for step, loss in enumerate(losses, 1)][: len(found)]
        assert len(found) >= 3


def test_a_dropped_graph_ends_cleanly_and_its_artefact_is_not_complete(
    cluster: Cluster, read_toy: ReadToy, tmp_path: Path
) -> None:
    lines: list[str] = []
    recipe = read_toy("student.optimiser.steps=400", "student.seconds=0.02", f"student.trace={tmp_path}", text=TEXT)
    runner, lane = make_runner(cluster, recipe, lines), lane_to(recipe, "student", "trial 0")
    runner.begin(lane)
    while len(lane.validations) < 2:
        runner.turn()
    runner.drop(lane)
    while runner.busy:
        runner.turn()
    assert lane.ended
    assert any(line.startswith("trial 0, student: stopped after") for line in lines)
    step = open_planner(recipe).plan(recipe.graph.up_to("student"))[-1]
    assert step.state == "to do"
    assert step.artifact is not None
    done = int((Path(step.artifact.url) / ".step").read_text())
    assert 2 <= done < 100


def test_a_graph_that_is_dropped_takes_nothing_from_another(
    cluster: Cluster, read_toy: ReadToy, tmp_path: Path
) -> None:
    recipe = read_toy("student.optimiser.steps=30", "student.seconds=0.02", f"student.trace={tmp_path}", text=TEXT)
    runner = make_runner(cluster, recipe, [])
    dropped, kept = (lane_to(recipe, "student", label) for label in ("trial 0", "trial 1"))
    runner.begin(dropped)
    runner.begin(kept)
    while len(kept.validations) < 2:
        runner.turn()
    runner.drop(dropped)
    while runner.busy:
        runner.turn()
    assert kept.steps["student"].state == "done"
    assert len(list(tmp_path.glob("from 0 of *"))) == 1


def test_a_graph_begun_while_its_stage_is_being_stopped_goes_on_with_it(
    cluster: Cluster, read_toy: ReadToy, tmp_path: Path
) -> None:
    recipe = read_toy("student.optimiser.steps=30", "student.seconds=0.02", f"student.trace={tmp_path}", text=TEXT)
    runner = make_runner(cluster, recipe, [])
    first, second = (lane_to(recipe, "student", label) for label in ("trial 0", "trial 1"))
    runner.begin(first)
    while len(first.validations) < 2:
        runner.turn()
    runner.drop(first)
    runner.begin(second)
    while runner.busy:
        runner.turn()
    assert second.steps["student"].state == "done"
    begun = sorted(int(path.name.split()[1]) for path in tmp_path.glob("from *"))
    assert begun[0] == 0
    assert len(begun) == 2
    assert begun[1] >= 1


def test_the_threads_of_a_training_hang_on_the_recipe_and_not_on_what_else_runs(
    cluster: Cluster, read_toy: ReadToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, int] = {}

    def noted(step: Step, threads: int) -> Job:
        given[step.node.name] = threads
        return make_job(step, threads)

    monkeypatch.setattr("pipeline.running.runner.make_job", noted)
    wide = replace(cluster, cores=8)
    # Beside two whole stages, and alone.
    for x, text in ((0.1, f"{TEXT}[base]\n"), (0.15, TEXT)):
        recipe = read_toy(f"student.x={x}", text=text)
        planner = open_planner(recipe)
        runner = Runner(wide, planner, PlainDisplay(lambda line: None), retries=0, shards_in_flight=2)
        runner.run(recipe.graph, planner.plan(recipe.graph))
        assert given.pop("student") == 8
    twins = Graph((*recipe.graph.nodes, replace(recipe.graph["student"], name="twin")))
    recipe = read_toy("student.x=0.2", text=TEXT)
    planner = open_planner(recipe)
    runner = Runner(wide, planner, PlainDisplay(lambda line: None), retries=0, shards_in_flight=2, recipe=twins)
    runner.run(recipe.graph, planner.plan(recipe.graph))
    assert given["student"] == 4
