"""What a reader must be told of a filter: rules that fail far more rows than they are for, checks of nothing.

A rule is there for what goes wrong now and then. Where it fails many rows, the rule, the measure or the corpus is not
what it was taken for: a corpus whose sides are swapped, a language that is told wrongly, a teacher that copies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from data.artifact import Artifact
from stages.languages.identification import known_language

EXAMPLES, _SHOWN = 3, 100
_FEWEST_ROWS = 50


@dataclass(frozen=True)
class Limits:
    """The share of rows that a rule may fail without a word, beyond what its quantiles ask for, by rule."""

    share: float
    asked: Mapping[str, float]


@dataclass(frozen=True)
class Example:
    """A row that failed a rule: where it stands, and its measure."""

    shard: str
    row: int
    value: float


@dataclass
class Findings:
    """The first rows that failed each rule."""

    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(
        self,
        shard: str,
        failures: Mapping[str, npt.NDArray[np.bool_]],
        values: Mapping[str, npt.NDArray[np.float64]],
    ) -> None:
        """Looks at a shard; failures and values are [rows] by rule."""
        for name, failed in failures.items():
            known = self.examples.setdefault(name, [])
            for row in np.flatnonzero(failed)[: EXAMPLES - len(known)]:
                known.append(Example(shard, int(row), float(values[name][row]) if name in values else np.nan))


def warnings(
    waterfall: Sequence[Mapping[str, Any]],
    rows: int,
    findings: Findings,
    limits: Limits,
    inputs: Mapping[str, Artifact],
) -> list[str]:
    """A text for each; examples are on lines of their own, where corpus and select are among the inputs."""
    return [*_too_many(waterfall, rows, findings, limits, inputs), *_not_looked_at(waterfall, rows, inputs)]


def _too_many(
    waterfall: Sequence[Mapping[str, Any]],
    rows: int,
    findings: Findings,
    limits: Limits,
    inputs: Mapping[str, Artifact],
) -> Iterator[str]:
    for step in waterfall:
        name, failed = step["rule"], step["failed"]
        asked = limits.asked.get(name, 0.0)
        if rows < _FEWEST_ROWS or failed <= rows * (asked + limits.share):
            continue
        wanted = f", and its quantiles ask for {asked:.1%}" if asked else ""
        head = (
            f"the rule {name} fails {failed:,} of {rows:,} rows ({failed / rows:.1%}{wanted}), which is more than such "
            "a rule is for: look whether corpus, teacher and rule are what they should be"
        )
        yield "\n".join([head, *_shown(findings.examples.get(name, []), inputs)])


def _shown(examples: Sequence[Example], inputs: Mapping[str, Artifact]) -> Iterator[str]:
    for example in examples:
        if not {"corpus", "select"} <= set(inputs):
            return
        source = inputs["corpus"].read_shard(example.shard, ["source"]).column("source")[example.row].as_py()
        target = inputs["select"].read_shard(example.shard, ["target"]).column("target")[example.row].as_py()
        value = "" if np.isnan(example.value) else f"{example.value:.4g}: "
        yield f"  {value}{_short(source)} -> {_short(target)}"


def _short(text: str) -> str:
    return f"{text[:_SHOWN]!r}" + (" ..." if len(text) > _SHOWN else "")


def _not_looked_at(waterfall: Sequence[Mapping[str, Any]], rows: int, inputs: Mapping[str, Artifact]) -> Iterator[str]:
    for step in waterfall:
        if step["rule"].startswith("column:") and step["unknown"]:
            yield (
                f"the rule {step['rule']} has no value for {step['unknown']:,} of {rows:,} rows "
                f"({step['unknown'] / max(rows, 1):.1%}), which pass it: the file does not name them"
            )
    if "corpus" in inputs and any(step["rule"] == "language_probability" for step in waterfall):
        for tag, count in _untold_languages(inputs["corpus"]).items():
            yield (
                f"the language of {count:,} targets in {tag} is not checked, but for their script: lingua does not "
                "know it; what the teacher says in another language of that script passes"
            )


def _untold_languages(corpus: Artifact) -> dict[str, int]:
    """Target languages that lingua does not know, each with its rows."""
    found: dict[str, int] = {}
    for table in corpus.tables("train", ["target_language"]):
        for entry in pc.value_counts(table.column("target_language").combine_chunks()).to_pylist():
            if known_language(entry["values"]) is None:
                found[entry["values"]] = found.get(entry["values"], 0) + entry["counts"]
    return found
