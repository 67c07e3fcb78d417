"""filter: the recipe's rules over the measures -> a verdict on every row, with all reasons. Nothing is deleted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.filter.quantiles import quantiles
from stages.filter.warnings import Findings, Limits, warnings

VERSION = "5"
INPUTS = ("measure", "corpus", "select")
LIBRARIES: tuple[str, ...] = ()
EMPTY_TARGET, TOO_LONG, WITHOUT = "empty_target", schema.TOO_LONG, schema.WITHOUT_SOFT_TARGETS
OF_A_COLUMN = "column:"

Array = npt.NDArray[np.float64]


class Rule(BaseModel):
    """Bounds of one measure, both included; a row whose measure is null passes. Without bounds, all rows pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: float | None = Field(None, description="smaller values fail")
    max: float | None = Field(None, description="larger values fail")
    min_quantile: float | None = Field(
        None, description="values below this quantile of all rows with a target fail", ge=0, lt=1
    )
    max_quantile: float | None = Field(None, description="values above this quantile of them fail", gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high, name in ((self.min, self.max, "m"), (self.min_quantile, self.max_quantile, "quantile m")):
            if low is not None and high is not None and low > high:
                raise ValueError(f"{name}in {low} is above {name}ax {high}: no row could pass")
        return self

    def asked_share(self) -> float:
        """Of all rows, what fails by the quantiles alone."""
        return (self.min_quantile or 0.0) + (0.0 if self.max_quantile is None else 1 - self.max_quantile)


def _rule(description: str, **bounds: float) -> Any:
    return Field(Rule(**bounds), description=description)


class Rules(BaseModel):
    """A rule for each measure. One that the recipe gives takes the place of the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    length_ratio: Rule = _rule("by default 0.15 to 6.5: beyond, something was dropped or invented", min=0.15, max=6.5)
    source_copy: Rule = _rule("by default at most 0.8: the teacher left the source as it was", max=0.8)
    repetition: Rule = _rule("by default at most 0.5: the decoder was caught in a loop", max=0.5)
    log_prob_per_token: Rule = _rule("by default not the lowest hundredth: the teacher guessed", min_quantile=0.01)
    mean_entropy: Rule = _rule("no rule by default")
    reference_chrf: Rule = _rule("no rule by default: a free translation may be a good one")
    language_probability: Rule = _rule("by default at least 0.1: nine to one against the language", min=0.1)
    target_length: Rule = _rule("by default at most 250: what decode cut off, at 256, has no end", max=250)
    placeholders_lost: Rule = _rule("by default none: a lost placeholder breaks a program", max=0)
    numbers_lost: Rule = _rule("by default none", max=0)
    unknown_tokens: Rule = _rule("by default none: a student learns to say <unk>", max=0)
    remarks: Rule = _rule("by default none: a student learns to say what a chat says around a translation", max=0)
    line_breaks: Rule = _rule("by default none: one line of the source is one line of the target", max=0)
    columns: dict[str, Rule] = Field(
        default_factory=dict, description="a rule for each of [[measure.columns]], by its name; no rule by default"
    )

    def by_name(self) -> dict[str, Rule]:
        """All rules, in order; those of the recipe's columns as column:NAME."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name != "columns"}
        return own | {f"{OF_A_COLUMN}{name}": rule for name, rule in self.columns.items()}


class Config(BaseModel):
    """The policy. An empty target always fails, and a row that the teacher had no positions for, or said nothing of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Rules = Field(default_factory=Rules, description="a rule for each measure")
    warn_share: float = Field(
        0.03,
        description="a rule that fails a larger share of the rows, beyond what its quantiles ask for, is told loudly, "
        "with examples; 1 tells nothing",
        gt=0,
        le=1,
    )


@dataclass
class Tally:
    """What a rule did to all rows."""

    failed: int = 0
    failed_alone: int = 0
    left: int = 0
    unknown: int = 0


@dataclass
class Waterfall:
    """Rows in, and what is left after each rule and those before it."""

    rows: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, failures: Mapping[str, npt.NDArray[np.bool_]], unknown: Mapping[str, int], rows: int) -> None:
        """Counts a table; `failures` [rows] by rule, in order."""
        self.rows += rows
        left = np.ones(rows, dtype=bool)
        times = np.sum(list(failures.values()), axis=0)
        for name, failed in failures.items():
            left &= ~failed
            tally = self.tallies.setdefault(name, Tally())
            tally.failed += int(failed.sum())
            tally.failed_alone += int((failed & (times == 1)).sum())
            tally.left += int(left.sum())
            tally.unknown += unknown.get(name, 0)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes VERDICTS shards named like those of `measure`; returns rows, accepted rows and the waterfall."""
    measure = inputs["measure"]
    output.discard_shards()  # of a run that was killed
    bounds = resolve(config.rules, measure)
    waterfall, findings = Waterfall(), Findings()
    names = measure.shard_names()
    for number, shard in enumerate(names, start=1):
        table = measure.read_shard(shard)
        failures = _failures(table, bounds)
        unknown = {name: int(np.isnan(_column(table, name)).sum()) for name in bounds}
        waterfall.add(failures, unknown, table.num_rows)
        findings.add(shard, failures, {name: _column(table, name) for name in bounds})
        verdicts = _verdicts(table, failures)
        output.write_shard(shard, verdicts, {"accepted": int(np.sum(verdicts.column("accepted").to_numpy()))})
        runtime.progress(number, len(names), {"rows": waterfall.rows})
    metrics = _metrics(waterfall, bounds)
    limits = Limits(config.warn_share, {name: rule.asked_share() for name, rule in config.rules.by_name().items()})
    return metrics | {"warnings": warnings(metrics["waterfall"], waterfall.rows, findings, limits, inputs)}


def resolve(rules: Rules, measure: Artifact) -> dict[str, tuple[float, float]]:
    """Every rule's bounds as numbers; of two bounds the tighter one counts.

    Quantiles are exact, over all rows whose target is neither empty nor too long and whose measure is known. Their
    columns are read twice and never kept, see `stages.filter.quantiles`.
    """
    asked = {
        name: [share for share in (rule.min_quantile, rule.max_quantile) if share is not None]
        for name, rule in rules.by_name().items()
    }
    asked = {name: shares for name, shares in asked.items() if shares}
    found = quantiles(lambda: _values(measure, list(asked)), asked) if asked else {}
    return {name: _bounds(rule, found.get(name, [])) for name, rule in rules.by_name().items()}


def _bounds(rule: Rule, found: list[float]) -> tuple[float, float]:
    """Of a rule whose quantiles are these, the lower one first; empty where no value is known."""
    low, high = _known(rule.min, -np.inf), _known(rule.max, np.inf)
    if rule.min_quantile is not None and found:
        low = max(low, found[0])
    if rule.max_quantile is not None and found:
        high = min(high, found[-1])
    return low, high


def _values(measure: Artifact, names: list[str]) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """What is known of some measures, rows aside that fail in any case."""
    read = ["columns" if name.startswith(OF_A_COLUMN) else name for name in names]
    for table in measure.tables(columns=list(dict.fromkeys([*read, "length_ratio", TOO_LONG, WITHOUT]))):
        usable = ~np.any(list(_hopeless(table).values()), axis=0)
        columns = {name: _column(table, name) for name in names}
        yield {name: values[~np.isnan(values) & usable].astype(np.float32) for name, values in columns.items()}


def _known(value: float | None, default: float) -> float:
    return default if value is None else value


def _column(table: pa.Table, name: str) -> Array:
    """A measure, or one of the recipe's columns, as [rows], NaN where it is null."""
    if name.startswith(OF_A_COLUMN):
        return _external(table, name.removeprefix(OF_A_COLUMN))
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy())


def _external(table: pa.Table, name: str) -> Array:
    lists = table.column("columns").combine_chunks()
    entries, rows = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    mine = pc.equal(pc.struct_field(entries, "name"), name).to_numpy(zero_copy_only=False)
    found = np.full(table.num_rows, np.nan)
    values = pc.struct_field(entries, "value").to_numpy(zero_copy_only=False).astype(np.float64)
    found[rows[mine]] = values[mine]
    return found


def _hopeless(table: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """Rows that no policy lets pass, [rows] by reason."""
    flags = {name: _column(table, name) == 1 for name in (TOO_LONG, WITHOUT)}
    return {EMPTY_TARGET: _column(table, "length_ratio") == 0, **flags}


def _failures(table: pa.Table, bounds: Mapping[str, tuple[float, float]]) -> dict[str, npt.NDArray[np.bool_]]:
    # A comparison with NaN is false: what is unknown passes.
    failures = _hopeless(table)
    for name, both in bounds.items():
        values = _column(table, name)
        # Measures are kept in 32 bits: what was written as 0.8 must not fail by a bound of 0.8.
        low, high = (float(np.float32(bound)) for bound in both)
        failures[name] = (values < low) | (values > high)
    return failures


def _verdicts(table: pa.Table, failures: Mapping[str, npt.NDArray[np.bool_]]) -> pa.Table:
    failed = np.column_stack(list(failures.values()))
    offsets = np.concatenate([[0], np.cumsum(failed.sum(axis=1))])
    names = pa.array(list(failures), pa.string()).take(pa.array(np.nonzero(failed)[1]))
    columns = {
        "id": table.column("id"),
        "accepted": pa.array(~failed.any(axis=1)),
        "reasons": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.VERDICTS.names], schema=schema.VERDICTS)


def _metrics(waterfall: Waterfall, bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    steps = [
        {
            "rule": name,
            "min": _finite(bounds.get(name, (-np.inf, np.inf))[0]),
            "max": _finite(bounds.get(name, (-np.inf, np.inf))[1]),
            "failed": tally.failed,
            "failed_alone": tally.failed_alone,
            "left": tally.left,
            "unknown": tally.unknown,
        }
        for name, tally in waterfall.tallies.items()
        if (np.isfinite(bounds[name]).any() if name in bounds else name == EMPTY_TARGET or tally.failed)
    ]
    accepted = steps[-1]["left"] if steps else waterfall.rows
    return {"rows": waterfall.rows, "accepted": accepted, "waterfall": steps}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
