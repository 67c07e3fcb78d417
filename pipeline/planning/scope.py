"""Which part of a recipe is planned, over which store."""

from data.errors import ConfigError
from data.store import Store
from pipeline.planning.plan import Planner, open_digest_cache
from pipeline.recipe.graph import Graph
from pipeline.recipe.recipe import Recipe


def open_planner(recipe: Recipe) -> Planner:
    """The planner over the recipe's store."""
    store = Store(recipe.run.store_url(), recipe.run.storage_options or None)
    return Planner(store, open_digest_cache())


def select_graph(recipe: Recipe, until: str | None, only: str | None) -> tuple[Graph, Graph]:
    """What to run, and all that must be planned for it; raises ConfigError for a stage that is not there."""
    if until and only:
        raise ConfigError(["--until and --only exclude each other; give one of them"])
    wanted = recipe.graph.up_to(until or only or "") if until or only else recipe.graph
    return (Graph((recipe.graph[only],)) if only else wanted), wanted
