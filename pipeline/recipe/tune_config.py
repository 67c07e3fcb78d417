"""The section `[tune]` of a recipe: what a sweep varies, and by which figure it chooses."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Dotted keys of a recipe and what they are set to.
Settings = dict[str, Any]
Direction = Literal["minimise", "maximise"]

_LESS_IS_BETTER = ("cross_entropy", "perplexity", "loss", "divergence", "ter", "bytes", "seconds")
_MORE_IS_BETTER = ("accuracy", "chrf", "bleu", "comet", "f1", "sentences_per_second", "tokens_per_second")
VALIDATION = "valid_"
# Sections that change no result.
_NOT_OF_STAGES = ("run", "tune")


class Dimension(BaseModel):
    """One thing that is varied: a range, choices, or variants of several keys.

    A range of two whole numbers gives whole numbers; of others it gives numbers with four digits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float | None = Field(None, description="lowest value of a range")
    high: int | float | None = Field(None, description="highest value of a range, itself included")
    log: bool = Field(False, description="whether a range is drawn from by its logarithm")
    step: int | float | None = Field(None, description="distance of a range's values; by default 1 or none", gt=0)
    choices: list[Any] | None = Field(None, description="values of the key, of any kind", min_length=2)
    variants: dict[str, Settings] | None = Field(
        None, description='by name, keys that go together: {small = {"student.model.width" = 128}}', min_length=2
    )

    @model_validator(mode="after")
    def _is_one_of_the_three(self) -> Self:
        given = [self.low is not None or self.high is not None, self.choices is not None, self.variants is not None]
        if sum(given) != 1 or (given[0] and (self.low is None or self.high is None)):
            raise ValueError("expected either low and high, or choices, or variants")
        if not given[0] and (self.log or self.step is not None):
            raise ValueError("log and step belong to low and high; leave them out")
        return self

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low is None or self.high is None:
            return self
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be less than high {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic range must begin above 0 and has no step")
        return self

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        seen = [repr(choice) for choice in self.choices or ()]
        if len(set(seen)) < len(seen):
            raise ValueError(f"choices: the same value twice among {', '.join(seen)}")
        return self

    @property
    def whole_numbers(self) -> bool:
        """Whether a range gives whole numbers."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    @property
    def is_finite(self) -> bool:
        """Whether all its values can be listed."""
        return self.low is None or self.step is not None or (self.whole_numbers and not self.log)

    def keys(self, name: str) -> set[str]:
        """Dotted keys that it sets; `name` is its own."""
        return {name} if self.variants is None else {key for settings in self.variants.values() for key in settings}


class TuneConfig(BaseModel):
    """What `potstill tune` varies and how it chooses. Nothing else reads this section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(20, description="trials to finish, pruned ones included", ge=1, le=100_000)
    parallel: int | None = Field(
        None,
        description="trials at a time; by default one for each worker, but at most a quarter of all, so that later "
        "ones can learn from earlier ones; one on a GPU",
        ge=1,
        le=10_000,
    )
    until: str = Field("student", description="the last stage of a trial, e.g. evaluate")
    metric: str = Field(
        "valid_cross_entropy",
        description="figure to choose by, among the metrics of the last stage or else of those before it; dots lead "
        "into tables: systems.student.chrf of evaluate. That one is of the test set, which is then used up: prefer "
        "the figures of the valid set (valid_cross_entropy, valid_accuracy)",
        min_length=1,
    )
    direction: Literal["auto", "minimise", "maximise"] = Field(
        "auto", description="which way the metric is better; auto knows it of losses, accuracies and scores"
    )
    watch: str = Field(
        "",
        description="figure of the training's validations by which trials are pruned; by default the metric where it "
        "is one of those, and else valid_cross_entropy",
    )
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe",
        description="tpe: learns from earlier trials (https://arxiv.org/abs/2304.11127); random; grid: every "
        "combination of choices, variants and ranges with a step, in order",
    )
    seed: int = Field(1, description="seed of the sampler", ge=0, lt=2**31)
    startup_trials: int = Field(
        5, description="trials at random before tpe learns, and whole ones before the median pruner compares", ge=1
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median",
        description="median: ends a trial that is worse than the median of earlier ones at the same step; hyperband: "
        "gives few trials many steps and many trials few (https://arxiv.org/abs/1603.06560)",
    )
    warmup_steps: int = Field(0, description="no trial is pruned before this step of its training", ge=0)
    space: dict[str, Dimension] = Field(
        description="what is varied, by dotted key of the recipe; variants by a name of their own", min_length=1
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = [*self._direction_faults(), *self._key_faults(), *self._grid_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def better(self) -> Direction:
        """Which way the metric is better."""
        return self.direction if self.direction != "auto" else direction_of(self.metric) or "minimise"

    @property
    def watched(self) -> str:
        """The figure of validations to prune by."""
        return self.watch or (self.metric if self.metric.startswith(VALIDATION) else "valid_cross_entropy")

    def _direction_faults(self) -> Iterator[str]:
        if self.direction == "auto" and direction_of(self.metric) is None:
            yield f"direction: whether more or less of {self.metric!r} is better cannot be told from its name; say it"
        if self.pruner != "none" and direction_of(self.watched) is None:
            yield f"watch: {self.watched!r} is no figure whose direction is known, as it is of valid_accuracy"

    def _key_faults(self) -> Iterator[str]:
        for name, dimension in self.space.items():
            for key in dimension.keys(name):
                section, _, rest = key.partition(".")
                if not rest:
                    yield f"space: {key!r} is no dotted key, such as student.optimiser.learning_rate"
                elif section in _NOT_OF_STAGES:
                    yield f"space: {key!r} changes no result; leave it out"

    def _grid_faults(self) -> Iterator[str]:
        endless = [name for name, dimension in self.space.items() if not dimension.is_finite]
        if self.sampler == "grid" and endless:
            yield f"sampler: 'grid' needs a step for every range, and {', '.join(endless)} has none"


def direction_of(figure: str) -> Direction | None:
    """Which way a figure is better, by its name; None when that is not known."""
    name = f"_{figure.rpartition('.')[2]}"
    if any(name.endswith(f"_{word}") for word in _MORE_IS_BETTER):
        return "maximise"
    return "minimise" if any(name.endswith(f"_{word}") for word in _LESS_IS_BETTER) else None
