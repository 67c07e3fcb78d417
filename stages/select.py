"""select: which hypothesis of the n-best becomes the training target."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.chrf import chrf_matrix

if TYPE_CHECKING:
    from sacrebleu import BLEU

VERSION = "1"
READS = {"corpus": ("reference",), "decode": ("hypotheses",)}
RESOURCES = ()
LIBRARIES = ("sacrebleu",)
SCHEMA = schema.SELECTED

Metric = Literal["score", "chrf", "bleu", "mbr-chrf"]
Array = npt.NDArray[np.float64]


class Config(BaseModel):
    """By what the hypothesis is chosen, with a reference and without one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Metric = Field(
        "chrf",
        description="score: the teacher's; chrf, bleu: likeness to the reference; mbr-chrf: to the other hypotheses",
    )
    fallback: Literal["score", "mbr-chrf"] = Field(
        "mbr-chrf", description="for rows without reference, where metric is chrf or bleu"
    )
    bleu_tokenizer: Literal["13a", "intl", "zh", "char", "none"] = Field(
        "13a", description="how bleu cuts the target into words: zh for Chinese, char for scripts without spaces"
    )


@dataclass(frozen=True)
class Resources:
    """sacrebleu's sentence BLEU, when it is asked for."""

    bleu: "BLEU | None"


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """What the metric needs."""
    if config.metric != "bleu":
        return Resources(None)
    from sacrebleu import BLEU

    return Resources(BLEU(tokenize=config.bleu_tokenizer, effective_order=True))


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SELECTED for a table with `id`, `reference` and `hypotheses`, row by row.

    Sequence-level interpolation, https://aclanthology.org/D16-1139, where the metric is chrf or bleu; minimum
    Bayes risk, https://aclanthology.org/N04-1022, where it is mbr-chrf. On a tie the higher teacher's score wins,
    then the earlier hypothesis.
    """
    references = table.column("reference").to_pylist()
    rows = zip(references, table.column("hypotheses").to_pylist(), strict=True)
    chosen = [_choose(hypotheses, reference, config, resources) for reference, hypotheses in rows]
    columns = {name: [row[name] for row in chosen] for name in SCHEMA.names if name != "id"}
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA if field.name != "id"]
    return pa.Table.from_arrays([table.column("id"), *arrays], schema=SCHEMA)


def count(table: pa.Table) -> dict[str, int | float]:
    """Rows by the metric that chose, and those where it chose the teacher's first hypothesis."""
    by_metric = Counter(table.column("metric").to_pylist())
    first = pc.sum(pc.equal(table.column("index"), 0)).as_py() or 0
    return {"first": first, **{f"by_{metric}": number for metric, number in sorted(by_metric.items())}}


def _choose(
    hypotheses: Sequence[dict[str, Any]], reference: str | None, config: Config, resources: Resources
) -> dict[str, Any]:
    metric = config.fallback if config.metric in {"chrf", "bleu"} and not reference else config.metric
    scores = [hypothesis["score"] for hypothesis in hypotheses]
    utility = _utility(metric, [hypothesis["text"] for hypothesis in hypotheses], scores, reference or "", resources)
    index = max(range(len(hypotheses)), key=lambda place: (utility[place], scores[place], -place))
    return {
        "index": index,
        "target": hypotheses[index]["text"],
        "target_tokens": hypotheses[index]["tokens"],
        "teacher_score": scores[index],
        "utility": utility,
        "metric": metric,
    }


def _utility(
    metric: Metric, texts: Sequence[str], scores: Sequence[float], reference: str, resources: Resources
) -> list[float]:
    if metric == "chrf":
        return _floats(chrf_matrix(texts, [reference])[:, 0])
    if metric == "mbr-chrf":
        return _floats(mbr_utility(texts))
    if metric == "bleu" and resources.bleu is not None:
        return [resources.bleu.sentence_score(text, [reference]).score for text in texts]
    return list(scores)


def mbr_utility(texts: Sequence[str]) -> Array:
    """Mean chrF of each hypothesis to all others, which stand in for references, 0..100; 0 for the only one. [H]."""
    scores = chrf_matrix(texts, texts)
    np.fill_diagonal(scores, 0.0)
    return np.asarray(scores.sum(axis=1) / max(len(texts) - 1, 1))


def _floats(values: Array) -> list[float]:
    return [float(value) for value in values]
