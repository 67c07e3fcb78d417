"""Several hypotheses a source as rows to train on, each with its weight.

Hypothesis h of a source gets softmax(worth_h / temperature) over those that are taken, so a source weighs 1 whatever
their number: the n-best approximates the expectation over the teacher's translations that sequence-level distillation
is about (https://aclanthology.org/D16-1139), of which the best hypothesis alone is the mode.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from data.errors import DataError

COLUMNS = ("id", "source", "hypotheses", "utility")
TARGET, WEIGHT = "target_tokens", "weight"
Part = Literal["tokens", "text"]


class NBestConfig(BaseModel):
    """What data = "nbest" takes of the dataset's hypotheses; the filter has judged the selected one alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Literal["score", "utility"] = Field(
        "score",
        description="what is softmaxed over a source's hypotheses: the teacher's score, or what they were worth to "
        "select.metric, such as mbr-chrf",
    )
    temperature: float = Field(
        1.0, description="divides scores (nats a token) or utilities (chrF or BLEU, 0..100) before the softmax", gt=0
    )
    count: int = Field(5, description="hypotheses a source, those of the highest weight", ge=1, le=1000)


def exploded(table: pa.Table, config: NBestConfig, part: Part = "tokens") -> pa.Table:
    """A row a hypothesis: `target_tokens`, `weight` (float32; a source's sum to 1), and the other columns repeated.

    `part` text: what stands in `target_tokens` is the hypothesis's text, for a tokenizer that is not the teacher's.
    Rows keep their order, hypotheses come by falling weight, of equal ones the earlier first. Raises DataError when a
    row has another number of utilities than of hypotheses, or no hypothesis.
    """
    hypotheses = table.column("hypotheses").combine_chunks()
    lengths = pc.list_value_length(hypotheses).to_numpy(zero_copy_only=False).astype(np.int64)
    _check(table, lengths)
    each = pc.list_flatten(hypotheses)
    worth = _worth(table, each, config)
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((np.arange(len(row)), -worth, row))
    starts = np.cumsum(lengths) - lengths
    taken = order[np.arange(len(row)) - starts[row] < config.count]
    weights = _softmax(worth[taken] / config.temperature, np.minimum(lengths, config.count))
    others = [name for name in table.column_names if name not in ("hypotheses", "utility", TARGET)]
    result = table.select(others).take(pa.array(row[taken]))
    result = result.append_column(TARGET, pc.struct_field(each, part).take(pa.array(taken)))
    return result.append_column(WEIGHT, pa.array(weights, pa.float32()))


def reading(read: Callable[[], pa.Table], config: NBestConfig, part: Part = "tokens") -> pa.Table:
    """A shard of the dataset, read and taken apart."""
    return exploded(read(), config, part)


def _worth(table: pa.Table, hypotheses: Any, config: NBestConfig) -> npt.NDArray[np.float64]:
    if config.weights == "utility":
        values = pc.list_flatten(table.column("utility").combine_chunks())
    else:
        values = pc.struct_field(hypotheses, "score")
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _softmax(values: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Over each row's values, which stand one row after the other and number `lengths` [rows]."""
    if not len(lengths):
        return values
    starts = np.cumsum(lengths) - lengths
    powers = np.exp(values - np.repeat(np.maximum.reduceat(values, starts), lengths))
    return np.asarray(powers / np.repeat(np.add.reduceat(powers, starts), lengths))


def _check(table: pa.Table, lengths: npt.NDArray[np.int64]) -> None:
    utilities = pc.list_value_length(table.column("utility").combine_chunks()).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero((utilities != lengths) | (lengths < 1))
    if len(wrong):
        number = int(wrong[0])
        raise DataError(
            f"{lengths[number]} hypotheses with {utilities[number]} utilities; expected one a hypothesis, and one "
            "hypothesis or more: the dataset is not what its schema says; run the stage dataset again",
            row_id=table.column("id")[number].as_py(),
        )
