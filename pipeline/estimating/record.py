"""What an estimate says, and how it is kept in the run's folder until truth is there to compare it with."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import DataError
from data.folder import open_folder
from data.store import Manifest, Store
from pipeline.planning.plan import Step
from pipeline.recipe.graph import Graph

FILE = "estimate.json"
SECONDS_AN_HOUR = 3600.0
MILLION = 1e6


class Interval(BaseModel):
    """A value and the ends of its interval (95% where it comes from a bootstrap)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    value: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Self:
        """One that is known."""
        return cls(low=value, value=value, high=value)

    def times(self, factor: float) -> Self:
        """All three, multiplied; `factor` is not negative."""
        return type(self)(low=self.low * factor, value=self.value * factor, high=self.high * factor)


class StageEstimate(BaseModel):
    """One stage. `done`: all figures are those of its manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    state: Literal["done", "estimated"]
    rows: Interval = Field(description="rows of its shards; 0 for a stage without")
    tokens: Interval = Field(description="target tokens that it makes, or is trained on; 0 where it counts none")
    seconds: Interval = Field(description="wall seconds from its beginning to its end, beside what runs with it")
    bytes: Interval = Field(description="of shards and files")
    threads: int | None = Field(None, description="that a whole stage will have; null where it is not known")
    version: str
    config: dict[str, Any]


class Estimate(BaseModel):
    """All stages of a recipe. `clock`: wall seconds of a run of what is not done; stages overlap."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    created: str
    workers: int
    cores: int
    device: str
    seed: int
    sample_rows: int
    rows: int = Field(description="rows of the corpus's train split")
    # Of what was made for real before anything was estimated: another corpus is another run.
    beginnings: dict[str, str]
    stages: list[StageEstimate]
    clock: Interval
    took_seconds: float = Field(description="what estimating took, without what was made for real")
    price_per_hour: float | None = None
    currency: str = ""

    def total_seconds(self) -> Interval:
        """Sum over all stages, done ones included."""
        return total(stage.seconds for stage in self.stages)

    def total_bytes(self) -> Interval:
        """Sum over all stages."""
        return total(stage.bytes for stage in self.stages)

    def money_per_million(self, seconds: Interval) -> Interval | None:
        """What so much of this machine's time costs a million sentences; None without a price or rows."""
        if self.price_per_hour is None or not self.rows:
            return None
        return seconds.times(self.price_per_hour / SECONDS_AN_HOUR * MILLION / self.rows)

    def as_json(self) -> dict[str, Any]:
        """All of it, with totals and money."""
        content = self.model_dump()
        for stage, fields in zip(self.stages, content["stages"], strict=True):
            fields["money_per_million"] = _dump(self.money_per_million(stage.seconds))
        content["total"] = {
            "seconds": _dump(self.total_seconds()),
            "bytes": _dump(self.total_bytes()),
            "money_per_million": _dump(self.money_per_million(self.clock)),
        }
        return content

    def of(self, step: Step) -> StageEstimate | None:
        """What was estimated for a step as it now stands; None where that was for another config or version."""
        found = next((stage for stage in self.stages if stage.stage == step.node.name), None)
        if found is None or found.state == "done" or step.identity is None:
            return None
        same = found.version == step.identity.version and found.config == step.identity.config
        return found if same else None

    def seconds_of(self, graph: Graph) -> dict[str, float]:
        """By name, of the graph's stages that were estimated with the config and version that they have."""
        told = {stage.stage: stage for stage in self.stages if stage.state == "estimated"}
        return {
            node.name: found.seconds.value
            for node in graph.nodes
            if (found := told.get(node.name)) is not None
            and (found.version, found.config) == (node.stage().VERSION, node.config.model_dump(mode="json"))
        }

    def fits(self, steps: Mapping[str, Step]) -> bool:
        """Whether what it began with is what the steps begin with."""
        found = {name: steps[name].artifact for name in self.beginnings if name in steps}
        return {name: artifact.fingerprint for name, artifact in found.items() if artifact} == self.beginnings


def total(parts: Iterable[Interval]) -> Interval:
    """The sum; its ends are the sums of the ends, as if all errors went the same way."""
    every = list(parts)
    return Interval(
        low=sum(part.low for part in every),
        value=sum(part.value for part in every),
        high=sum(part.high for part in every),
    )


def tokens_of(manifest: Manifest) -> int:
    """Target tokens that a stage made or was trained on; 0 where it counts none."""
    return int(manifest.counters.get("tokens") or manifest.metrics.get("tokens") or 0)


def save(store: Store, estimate: Estimate) -> str:
    """Writes it into the run's folder, whole or not at all; returns where."""
    open_folder(store.url, store.storage_options).write(FILE, json.dumps(estimate.as_json(), indent=1).encode())
    return f"{store.url}/{FILE}"


def read(store: Store) -> Estimate | None:
    """The last estimate of a run's folder; None when there is none; raises DataError when it is damaged."""
    url = f"{store.url}/{FILE}"
    folder = open_folder(store.url, store.storage_options)
    if folder.stamp(FILE) is None:
        return None
    try:
        content = json.loads(folder.read(FILE))
        content.pop("total")
        for stage in content["stages"]:
            stage.pop("money_per_million", None)
        return Estimate.model_validate(content)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise DataError(f"{url} is no estimate; delete it and run `potstill estimate` again") from error


def _dump(interval: Interval | None) -> dict[str, float] | None:
    return interval.model_dump() if interval else None
