"""What a run has ahead of it, and how long each stage of it is expected to take."""

from collections.abc import Mapping, Sequence

from data.store import Store
from pipeline.planning.plan import Step, newest_manifest
from pipeline.recipe.graph import Node, is_training
from pipeline.terminal.remaining import Ahead


def ahead_of(
    to_do: Sequence[Step], store: Store, estimated: Mapping[str, float], elsewhere: Mapping[str, float]
) -> dict[str, Ahead]:
    """Of each step that is to be done, in order. Seconds of whole stages, by name: `estimated` here, or `elsewhere`.

    Where the recipe names none of the latter, what the store has of the same stages with the same config, of an earlier
    run: then, too, the machine may have been busier or idler than now. The two are not mixed: one pace holds for all.
    """
    names = {step.node.name for step in to_do}
    found = {}
    for step in to_do:
        node = step.node
        measured = estimated.get(node.name)
        expected = elsewhere.get(node.name) if elsewhere else _before(node, store)
        found[node.name] = Ahead(
            after=tuple(sorted(names & set(node.inputs.values()))),
            seconds=expected if measured is None else measured,
            measured=measured is not None,
            steady=node.kind == "shard" or is_training(node),
        )
    return found


def _before(node: Node, store: Store) -> float | None:
    """Seconds that the stage took the last time, where nothing but what it reads may be another now."""
    last = newest_manifest(store, node.name)
    if last is None or last.version != node.stage().VERSION or last.config != node.config.model_dump(mode="json"):
        return None
    return last.seconds
