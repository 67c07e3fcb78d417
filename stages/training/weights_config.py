"""How often rows of each of the corpus's sources are drawn in a training, as a recipe says it beside the source."""

from typing import Annotated, Any

from pydantic import Field

# The column that names a row's source.
ORIGIN = "origin"
Weights = dict[str, Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]]


def weights_field() -> Any:
    """The field of a training's config. It is not told where it is empty: then no training hangs on it."""
    return Field(
        default_factory=dict,
        exclude_if=lambda weights: not weights,
        description="how often rows of sources are drawn an epoch; taken from weight in [[corpus.sources]], so leave "
        "it out here",
    )


def with_weights(content: Any, *, used: bool = True) -> Any:
    """A section with the weights of sources in place of the sources, those of 1 left out; without where not `used`.

    What is wrong in a source is told where the sources are.
    """
    if not isinstance(content, dict) or "weights" not in content:
        return content
    others = {key: value for key, value in content.items() if key != "weights"}
    given = content["weights"]
    if isinstance(given, (list, tuple)):
        given = {one["name"]: one["weight"] for one in given if isinstance(one, dict) and _weighed(one)}
    return {**others, "weights": given} if given and used else others


def _weighed(source: dict[str, Any]) -> bool:
    weight = source.get("weight", 1)
    return (
        isinstance(source.get("name"), str) and isinstance(weight, (int, float)) and 0 < weight <= 1000 and weight != 1
    )
