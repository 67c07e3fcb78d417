"""From what is varied to settings: what a trial draws, the ends of every dimension, a grid, the text for `--set`."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.recipe.tune_config import Dimension, Settings

if TYPE_CHECKING:
    from optuna.trial import Trial

Space = Mapping[str, Dimension]
# What an optimiser knows of a trial: of a range the number, of choices and variants a text.
Drawn = dict[str, Any]
_DIGITS = 4


def draw(space: Space, trial: "Trial") -> Settings:
    """What a trial sets; of one that was drawn before it is the same again."""
    settings: Settings = {}
    for name, dimension in space.items():
        settings |= _settings(name, dimension, _suggest(name, dimension, trial))
    return settings


def ends(space: Space) -> Iterator[tuple[str, Settings]]:
    """Both ends of every range, and every choice and variant, each alone: what it is called, and what it sets."""
    for name, dimension in space.items():
        values: list[Any] = _listed(dimension) or [dimension.low, dimension.high]
        for value in values:
            settings = _settings(name, dimension, value)
            text = value if dimension.variants is not None else toml_text(settings[name])
            yield f"{name} = {text}", settings


def grid(space: Space) -> list[Drawn]:
    """Every combination, the last dimension changing fastest; ValueError for a range without a step."""
    columns = [[(name, value) for value in _values(name, dimension)] for name, dimension in space.items()]
    return [dict(row) for row in itertools.product(*columns)]


def override_texts(settings: Settings) -> list[str]:
    """As `--set` takes them."""
    return [f"{key}={toml_text(value)}" for key, value in settings.items()]


def toml_text(value: Any) -> str:
    """A value as it stands in a recipe, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_text(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)


def _suggest(name: str, dimension: Dimension, trial: "Trial") -> Any:
    if listed := _listed(dimension):
        return trial.suggest_categorical(name, listed)
    low, high = _range(dimension)
    if dimension.whole_numbers:
        return trial.suggest_int(name, int(low), int(high), step=int(dimension.step or 1), log=dimension.log)
    return trial.suggest_float(name, low, high, step=dimension.step, log=dimension.log)


def _settings(name: str, dimension: Dimension, value: Any) -> Settings:
    if dimension.variants is not None:
        return dict(dimension.variants[value])
    if dimension.choices is not None:
        return {name: next(choice for choice in dimension.choices if toml_text(choice) == value)}
    low, high = _range(dimension)
    # More digits would say nothing, and be in the way of whoever writes them into a recipe.
    return {name: value if dimension.whole_numbers else min(max(float(f"{value:.{_DIGITS}g}"), low), high)}


def _listed(dimension: Dimension) -> list[str]:
    """Texts of choices, names of variants: an optimiser's store keeps no lists and tables."""
    if dimension.variants is not None:
        return list(dimension.variants)
    return [toml_text(choice) for choice in dimension.choices or ()]


def _values(name: str, dimension: Dimension) -> list[Any]:
    if listed := _listed(dimension):
        return listed
    if not dimension.is_finite:
        raise ValueError(f"{name} has no step")
    low, high = _range(dimension)
    step = dimension.step or 1
    # Of 0.1, 0.2 ... the last is not lost to rounding.
    count = math.floor((high - low) / step + 1e-9) + 1
    return [low + index * step for index in range(count)]


def _range(dimension: Dimension) -> tuple[float, float]:
    if dimension.low is None or dimension.high is None:
        raise ValueError("not a range")
    return dimension.low, dimension.high
