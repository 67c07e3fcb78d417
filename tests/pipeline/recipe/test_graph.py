import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from data.errors import ConfigError
from pipeline.recipe.graph import Graph, StageEntry, build_graph


class Config(BaseModel):
    kind: str = ""


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> tuple[StageEntry, ...]:
    """Two stages, each of which can read the other, as tokenizer and teacher can."""
    for name, other in (("left", "right"), ("right", "left")):
        module = ModuleType(f"ring_{name}")
        module.__dict__.update(Config=Config, inputs=lambda config, other=other: (other,) if config.kind else ())
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return StageEntry("left", "ring_left"), StageEntry("right", "ring_right")


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def test_a_stage_comes_after_what_its_config_makes_it_read(ring: tuple[StageEntry, ...]) -> None:
    assert names(build_graph({"left": Config(), "right": Config(kind="x")}, ring)) == ["left", "right"]
    assert names(build_graph({"left": Config(kind="x"), "right": Config()}, ring)) == ["right", "left"]


def test_stages_that_wait_for_one_another_are_a_fault_of_the_recipe(ring: tuple[StageEntry, ...]) -> None:
    with pytest.raises(ConfigError, match="wait for one another"):
        build_graph({"left": Config(kind="x"), "right": Config(kind="x")}, ring)


def test_an_input_that_is_no_stage_is_our_own_mistake(ring: tuple[StageEntry, ...]) -> None:
    with pytest.raises(ValueError, match="no stage of that name"):
        build_graph({"left": Config(kind="x")}, ring[:1])


def test_up_to_keeps_what_a_stage_needs_and_names_the_stages_when_it_is_not_there(ring: tuple[StageEntry, ...]) -> None:
    graph = build_graph({"left": Config(kind="x"), "right": Config()}, ring)
    assert names(graph.up_to("right")) == ["right"]
    assert names(graph.up_to("left")) == ["right", "left"]
    with pytest.raises(ConfigError, match=r"lefft: this recipe has no such stage; did you mean left\?"):
        graph.up_to("lefft")


def test_trainings_that_may_go_side_by_side_are_counted_whatever_part_is_run() -> None:
    from pipeline.recipe.recipe import read_recipe

    graph = read_recipe(Path("recipes/demo-full.toml"), files=False).graph
    # The teacher is trained before both.
    found = {name: graph.trainings_abreast(name) for name in ("teacher", "student", "baseline")}
    assert found == {"teacher": 1, "student": 2, "baseline": 2}
    assert graph.up_to("student").trainings_abreast("student") == 1
