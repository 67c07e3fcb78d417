"""What a run expects of its stages: an estimate, an earlier run, the recipe's own figures, or nothing."""

from pipeline.planning.scope import open_planner
from pipeline.running.ahead import ahead_of
from pipeline.running.launch import ClusterOptions, run_recipe
from pipeline.terminal.progress import PlainDisplay
from pipeline.terminal.remaining import Ahead
from tests.pipeline.conftest import ReadToy


def test_what_is_expected_and_from_where(read_toy: ReadToy) -> None:
    recipe = read_toy()
    planner = open_planner(recipe)
    steps = planner.plan(recipe.graph)
    found = ahead_of(steps, planner.store, {"shout": 7.0}, {"shout": 1.0, "corpus": 2.0})
    assert list(found) == [step.node.name for step in steps]
    assert found["corpus"] == Ahead(after=(), seconds=2.0, measured=False, steady=False)
    assert found["shout"] == Ahead(after=("corpus",), seconds=7.0, measured=True, steady=True)
    assert found["report"].seconds is None
    # What is not to be done is not waited for.
    assert ahead_of(steps[1:], planner.store, {}, {})["shout"].after == ()


def test_an_earlier_run_with_the_same_config_is_what_is_expected(read_toy: ReadToy) -> None:
    recipe = read_toy()
    run_recipe(
        recipe, lambda: PlainDisplay(lambda line: None), ClusterOptions(workers=1, dashboard=False), until="shout"
    )
    again = read_toy("corpus.rows=10")
    planner = open_planner(again)
    steps = planner.plan(again.graph)
    found = ahead_of(steps, planner.store, {}, {})
    # The corpus has another config, and the stage after it does the same with something else.
    assert found["corpus"].seconds is None
    (made,) = list(planner.store.artifacts("shout"))
    assert found["shout"].seconds == made.manifest().seconds > 0
    # The machine may have been busier then.
    assert not found["shout"].measured
    # What the recipe says was measured all in one go.
    assert ahead_of(steps, planner.store, {}, {"corpus": 2.0})["shout"].seconds is None
    other = read_toy("corpus.rows=10", "shout.mark=?")
    steps = open_planner(other).plan(other.graph)
    assert ahead_of(steps, planner.store, {}, {})["shout"].seconds is None
