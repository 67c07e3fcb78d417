"""select: which hypothesis of the n-best becomes the training target."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data import schema
from data.artifact import Artifact
from data.errors import DataError
from data.runtime import Runtime
from stages.languages.writing import bleu_tokenizer
from stages.text.columns import Column, Key, Lookup, column_faults, column_files, load_column
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.text.utility import Measure, sentence_bleu, utilities

if TYPE_CHECKING:
    from sacrebleu import BLEU

VERSION = "4"
READS = {"corpus": ("source", "reference", "target_language"), "decode": ("hypotheses",)}
RESOURCES = ("tokenizer",)
LIBRARIES = ("sacrebleu", "sentencepiece")
SCHEMA = schema.SELECTED

# What a row is chosen by whose hypotheses lack the score that was asked for.
ORDER = "order"
# Beside them column:NAME.
Metric = Literal["score", "chrf", "bleu", "mbr-chrf", "reference"]
METRICS = get_args(Metric)
OF_A_COLUMN = "column:"
_NEED_A_REFERENCE = {"chrf", "bleu", "reference"}
# Under `reference` the hypotheses' likeness to it is noted, though it chooses nothing.
_MEASURES: Mapping[str, Measure] = {"chrf": "chrf", "bleu": "bleu", "mbr-chrf": "mbr-chrf", "reference": "chrf"}
Array = npt.NDArray[np.float64]


class Config(BaseModel):
    """By what the hypothesis is chosen, with a reference and without one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(
        "chrf",
        description="score: the teacher's; chrf, bleu: likeness to the reference; mbr-chrf: to the other hypotheses; "
        "reference: none of them but the reference itself, for word-level distillation; column:NAME: what a file of "
        "[[measure.columns]] has for each hypothesis",
    )
    fallback: Literal["score", "mbr-chrf"] = Field(
        "mbr-chrf",
        description="for rows without reference, where metric needs one, and those of which the column lacks a value",
    )
    bleu_tokenizer: Literal["auto", "13a", "intl", "zh", "char", "none"] = Field(
        "auto",
        description="how bleu cuts the target into words: zh for Chinese, char for scripts without spaces; auto takes "
        "the target language's",
    )
    columns: tuple[Column, ...] = Field(
        (), description="the column that metric names; taken from [[measure.columns]], so leave it out here"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        name = self.column_name()
        if self.metric not in METRICS and not name:
            raise ValueError(f"metric {self.metric!r}: expected one of {', '.join(METRICS)}, or column:NAME")
        if name and name not in {column.name for column in self.columns}:
            others = ", ".join(column.name for column in self.columns) or "none"
            raise ValueError(f"metric {self.metric!r}: no [[measure.columns]] of that name; there is {others}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _without_others(cls, content: Any) -> Any:
        """Other columns choose nothing: to add one makes no selection anew."""
        if not isinstance(content, dict) or not isinstance(content.get("columns"), (list, tuple)):
            return content
        name = str(content.get("metric", "")).removeprefix(OF_A_COLUMN)
        others = [column for column in content["columns"] if isinstance(column, dict) and column.get("name") == name]
        chosen = str(content.get("metric", "")).startswith(OF_A_COLUMN)
        return content | {"columns": (others or content["columns"]) if chosen else ()}

    def column_name(self) -> str:
        """Of the column that chooses; empty where none does."""
        return self.metric.removeprefix(OF_A_COLUMN) if self.metric.startswith(OF_A_COLUMN) else ""


@dataclass(frozen=True)
class Resources:
    """What the metric needs: the tokenizer for references, or the column's values."""

    tokenizer: Tokenizer | None = None
    column: Lookup | None = None


@dataclass(frozen=True)
class _NBest:
    """All hypotheses of a table one after the other, [N]; those of row r are ends[r] : ends[r + 1]."""

    texts: Sequence[str]
    scores: Array
    ends: npt.NDArray[np.int64]


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """What the metric needs."""
    if config.metric == "reference":
        return Resources(tokenizer=load_tokenizer(artifacts["tokenizer"].path()))
    if not config.column_name():
        return Resources()
    [column] = config.columns
    found = load_column(column)
    if not {"target", "rank"} & set(found.by):
        raise DataError(
            f"{column.path}: tells rows apart by {', '.join(found.by)} alone, and select.metric = {config.metric!r} "
            "needs a value of each hypothesis: add the column target, or rank"
        )
    return Resources(column=found)


def external_files(config: Config) -> list[Path]:
    """The file of the column that chooses."""
    return column_files(config.columns)


def faults(config: Config) -> list[str]:
    """Where it is not there."""
    return column_faults(config.columns, "measure.columns") if config.column_name() else []


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SELECTED for a table with `id`, `reference` and `hypotheses`, row by row.

    Sequence-level interpolation, https://aclanthology.org/D16-1139, where the metric is chrf or bleu; minimum
    Bayes risk, https://aclanthology.org/N04-1022, where it is mbr-chrf. On a tie the higher teacher's score wins,
    then the earlier hypothesis. Where it is reference, the target is the reference: it has no index and no score. Where
    a score is asked for and some hypothesis was given without, the first one is taken, by `order`.
    """
    hypotheses = table.column("hypotheses").combine_chunks()
    flat = pc.list_flatten(hypotheses)
    texts, scores = pc.struct_field(flat, "text"), pc.struct_field(flat, "score").to_numpy(zero_copy_only=False)
    ends = np.cumsum(pc.list_value_length(hypotheses).to_numpy(zero_copy_only=False), dtype=np.int64)
    nbest = _NBest(texts.to_pylist(), scores.astype(np.float64), np.concatenate([[0], ends]))
    references = table.column("reference").to_pylist()
    metrics = [_metric(config, reference) for reference in references]
    given = _given(table, nbest, config, resources.column)
    if given is not None:
        spans = zip(nbest.ends[:-1], nbest.ends[1:], strict=True)
        metrics = [config.fallback if np.isnan(given[start:end]).any() else config.metric for start, end in spans]
    metrics = _in_order(metrics, nbest)
    utility = _utilities(nbest, metrics, table, config, given)
    chosen = _best(nbest, utility)
    columns = {
        "id": table.column("id"),
        "index": pa.array(chosen - nbest.ends[:-1], pa.int32()),
        "target": texts.take(chosen),
        "target_tokens": pc.struct_field(flat, "tokens").take(chosen),
        "teacher_score": pa.array(scores[chosen], pa.float32(), from_pandas=True),
        "teacher": pc.struct_field(flat, "teacher").take(chosen),
        "utility": pa.ListArray.from_arrays(pa.array(nbest.ends, pa.int32()), pa.array(utility, pa.float32())),
        "metric": pa.array(metrics, pa.string()),
    }
    if resources.tokenizer is not None:
        columns |= _with_references(columns, references, metrics, resources.tokenizer)
    arrays = [columns[field.name].cast(field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def count(table: pa.Table) -> dict[str, int | float]:
    """Rows by the metric that chose and by whose hypothesis it was, and those where it was the n-best's first one."""
    first = pc.sum(pc.equal(table.column("index"), 0)).as_py() or 0
    counts = {"first": first}
    for column, name in (("metric", "by"), ("teacher", "of")):
        found = Counter(value for value in table.column(column).to_pylist() if value is not None)
        counts |= {f"{name}_{value}": number for value, number in sorted(found.items())}
    return counts


def _with_references(
    columns: Mapping[str, pa.Array], references: Sequence[str | None], metrics: Sequence[str], tokenizer: Tokenizer
) -> dict[str, pa.Array]:
    """The columns that are others where the reference is the target."""
    is_reference = pa.array([metric == "reference" for metric in metrics])
    tokens = tokenizer.encode_target([reference or "" for reference in references])
    texts = {"target": pa.array(references, pa.string()), "target_tokens": pa.array(tokens, pa.list_(pa.string()))}
    changed = {name: pc.if_else(is_reference, text, columns[name].cast(text.type)) for name, text in texts.items()}
    nulls = {name: pc.if_else(is_reference, None, columns[name]) for name in ("index", "teacher_score", "teacher")}
    return {**changed, **nulls}


def _metric(config: Config, reference: str | None) -> str:
    return config.fallback if config.metric in _NEED_A_REFERENCE and not reference else config.metric


def _in_order(metrics: Sequence[str], nbest: _NBest) -> list[str]:
    """The metrics, but `order` where a score is asked for and a hypothesis has none."""
    spans = zip(nbest.ends[:-1], nbest.ends[1:], strict=True)
    lacking = [
        metric == "score" and bool(np.isnan(nbest.scores[a:b]).any())
        for metric, (a, b) in zip(metrics, spans, strict=True)
    ]
    return [ORDER if lacks else metric for metric, lacks in zip(metrics, lacking, strict=True)]


def _given(table: pa.Table, nbest: _NBest, config: Config, column: Lookup | None) -> Array | None:
    """What the column has for every hypothesis, [N], the largest the best; NaN for nothing."""
    if column is None:
        return None
    sizes = np.diff(nbest.ends)
    keys: dict[Key, Sequence[Any]] = {"target": nbest.texts}
    keys["rank"] = (np.arange(len(nbest.texts)) - np.repeat(nbest.ends[:-1], sizes)).tolist()
    for key in {"id", "source"} & set(column.by):
        keys[key] = np.repeat(table.column(key).to_numpy(), sizes).tolist()  # type: ignore[index]
    return column.find(keys) * (1 if config.columns[0].higher_is_better else -1)


def _utilities(nbest: _NBest, metrics: Sequence[str], table: pa.Table, config: Config, given: Array | None) -> Array:
    """What every hypothesis of all rows is worth, [N]; under `score` its score, under a column what it has, under
    `order` its place, negative."""
    utility = nbest.scores.copy()
    references = table.column("reference").to_pylist()
    for metric in set(metrics) - {"score"}:
        rows = [row for row, one in enumerate(metrics) if one == metric]
        spans = [slice(nbest.ends[row], nbest.ends[row + 1]) for row in rows]
        if metric == ORDER:
            worth = [-np.arange(span.stop - span.start, dtype=np.float64) for span in spans]
        elif metric == config.metric and given is not None:
            worth = [given[span] for span in spans]
        else:
            bleu = _bleu(table, config, rows) if metric == "bleu" else []
            texts = [nbest.texts[span] for span in spans]
            worth = utilities(_MEASURES[metric], texts, [references[row] or "" for row in rows], bleu)
        for span, values in zip(spans, worth, strict=True):
            utility[span] = values
    return utility


def _bleu(table: pa.Table, config: Config, rows: Sequence[int]) -> "list[BLEU]":
    """What each row's BLEU is measured with."""
    if config.bleu_tokenizer != "auto":
        return [sentence_bleu(config.bleu_tokenizer)] * len(rows)
    languages = table.column("target_language").to_pylist()
    built = {language: sentence_bleu(bleu_tokenizer(language)) for language in {languages[row] for row in rows}}
    return [built[languages[row]] for row in rows]


def _best(nbest: _NBest, utility: Array) -> npt.NDArray[np.int64]:
    """Place of the best hypothesis of each row among all, [rows]."""
    row = np.repeat(np.arange(len(nbest.ends) - 1), np.diff(nbest.ends))
    order = np.lexsort((np.arange(len(row)), -nbest.scores, -utility, row))
    return np.asarray(order[nbest.ends[:-1]])
