"""select: which hypothesis of the n-best becomes the training target."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.text.utility import Measure, sentence_bleu, utilities

if TYPE_CHECKING:
    from sacrebleu import BLEU

VERSION = "3"
READS = {"corpus": ("reference",), "decode": ("hypotheses",)}
RESOURCES = ("tokenizer",)
LIBRARIES = ("sacrebleu", "sentencepiece")
SCHEMA = schema.SELECTED

Metric = Literal["score", "chrf", "bleu", "mbr-chrf", "reference"]
_NEED_A_REFERENCE = {"chrf", "bleu", "reference"}
# Under `reference` the hypotheses' likeness to it is noted, though it chooses nothing.
_MEASURES: Mapping[Metric, Measure] = {"chrf": "chrf", "bleu": "bleu", "mbr-chrf": "mbr-chrf", "reference": "chrf"}
Array = npt.NDArray[np.float64]


class Config(BaseModel):
    """By what the hypothesis is chosen, with a reference and without one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Metric = Field(
        "chrf",
        description="score: the teacher's; chrf, bleu: likeness to the reference; mbr-chrf: to the other hypotheses; "
        "reference: none of them but the reference itself, for word-level distillation",
    )
    fallback: Literal["score", "mbr-chrf"] = Field(
        "mbr-chrf", description="for rows without reference, where metric needs one"
    )
    bleu_tokenizer: Literal["13a", "intl", "zh", "char", "none"] = Field(
        "13a", description="how bleu cuts the target into words: zh for Chinese, char for scripts without spaces"
    )


@dataclass(frozen=True)
class Resources:
    """What the metric needs: sacrebleu's sentence BLEU, or the tokenizer for references."""

    bleu: "BLEU | None" = None
    tokenizer: Tokenizer | None = None


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
    if config.metric != "bleu":
        return Resources()
    return Resources(bleu=sentence_bleu(config.bleu_tokenizer))


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SELECTED for a table with `id`, `reference` and `hypotheses`, row by row.

    Sequence-level interpolation, https://aclanthology.org/D16-1139, where the metric is chrf or bleu; minimum
    Bayes risk, https://aclanthology.org/N04-1022, where it is mbr-chrf. On a tie the higher teacher's score wins,
    then the earlier hypothesis. Where it is reference, the target is the reference: it has no index and no score.
    """
    hypotheses = table.column("hypotheses").combine_chunks()
    flat = pc.list_flatten(hypotheses)
    texts, scores = pc.struct_field(flat, "text"), pc.struct_field(flat, "score").to_numpy(zero_copy_only=False)
    ends = np.cumsum(pc.list_value_length(hypotheses).to_numpy(zero_copy_only=False), dtype=np.int64)
    nbest = _NBest(texts.to_pylist(), scores.astype(np.float64), np.concatenate([[0], ends]))
    references = table.column("reference").to_pylist()
    metrics = [_metric(config, reference) for reference in references]
    utility = _utilities(nbest, metrics, references, resources)
    chosen = _best(nbest, utility)
    columns = {
        "id": table.column("id"),
        "index": pa.array(chosen - nbest.ends[:-1], pa.int32()),
        "target": texts.take(chosen),
        "target_tokens": pc.struct_field(flat, "tokens").take(chosen),
        "teacher_score": pa.array(scores[chosen], pa.float32()),
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
    columns: Mapping[str, pa.Array], references: Sequence[str | None], metrics: Sequence[Metric], tokenizer: Tokenizer
) -> dict[str, pa.Array]:
    """The columns that are others where the reference is the target."""
    is_reference = pa.array([metric == "reference" for metric in metrics])
    tokens = tokenizer.encode_target([reference or "" for reference in references])
    texts = {"target": pa.array(references, pa.string()), "target_tokens": pa.array(tokens, pa.list_(pa.string()))}
    changed = {name: pc.if_else(is_reference, text, columns[name].cast(text.type)) for name, text in texts.items()}
    nulls = {name: pc.if_else(is_reference, None, columns[name]) for name in ("index", "teacher_score", "teacher")}
    return {**changed, **nulls}


def _metric(config: Config, reference: str | None) -> Metric:
    return config.fallback if config.metric in _NEED_A_REFERENCE and not reference else config.metric


def _utilities(
    nbest: _NBest, metrics: Sequence[Metric], references: Sequence[str | None], resources: Resources
) -> Array:
    """What every hypothesis of all rows is worth, [N]; under `score` its score."""
    utility = nbest.scores.copy()
    for metric in set(metrics) - {"score"}:
        rows = [row for row, one in enumerate(metrics) if one == metric]
        texts = [nbest.texts[nbest.ends[row] : nbest.ends[row + 1]] for row in rows]
        worth = utilities(_MEASURES[metric], texts, [references[row] or "" for row in rows], resources.bleu)
        for row, values in zip(rows, worth, strict=True):
            utility[nbest.ends[row] : nbest.ends[row + 1]] = values
    return utility


def _best(nbest: _NBest, utility: Array) -> npt.NDArray[np.int64]:
    """Place of the best hypothesis of each row among all, [rows]."""
    row = np.repeat(np.arange(len(nbest.ends) - 1), np.diff(nbest.ends))
    order = np.lexsort((np.arange(len(row)), -nbest.scores, -utility, row))
    return np.asarray(order[nbest.ends[:-1]])
