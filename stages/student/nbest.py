"""Several hypotheses a source: each epoch draws one of them, as often as its weight says.

Hypothesis h of a source has probability softmax(worth_h / temperature) over those that are taken. So a sentence's
gradient is an estimate without bias of that of the sum over them, weighted by these probabilities. They are the
teacher's own, and the sum that over an n-best list of https://aclanthology.org/D16-1139, of which the best hypothesis
alone is the mode, only where the worth is the sum of log-probabilities and the temperature 1: weights = "score" with
decode.length_penalty = 0. Scores that are divided by length lie close together, and so do their weights.

To learn from all of them at once has the same expectation, but spends a batch on near copies of few sources and half
its time on what weighs little.
"""

import zlib
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.errors import DataError

COLUMNS = ("id", "source", "hypotheses", "utility")
TARGET = "target_tokens"
Part = Literal["tokens", "text"]
# Steps of the golden ratio fill [0, 1) evenly however many are taken (Weyl's sequence): in few epochs every hypothesis
# comes up about as often as its weight says, where random draws would leave some out.
_GOLDEN = (5**0.5 - 1) / 2


class NBestConfig(BaseModel):
    """What data = "nbest" takes of the dataset's hypotheses; the filter has judged the selected one alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: Literal["score", "utility"] = Field(
        "score",
        description="what is softmaxed over a source's hypotheses, and so how often each is drawn: score, the "
        "teacher's (with decode.length_penalty = 0 its log-probability, else close to even); utility, what each was "
        "worth to select.metric: mbr-chrf, its likeness to the others; chrf, bleu, reference, that to the reference",
    )
    temperature: float = Field(
        1.0,
        description="divides scores (nats, over tokens ** decode.length_penalty) or utilities (chrF or BLEU, 0..100; "
        "to be given with them, such as 10) before the softmax",
        gt=0,
    )
    count: int = Field(
        5, description="of how many hypotheses a source it is drawn, those of the highest weight", ge=1, le=1000
    )

    @model_validator(mode="after")
    def _temperature_fits_the_weights(self) -> Self:
        if self.weights == "utility" and "temperature" not in self.model_fields_set:
            raise ValueError(
                "temperature: required with weights = 'utility': utilities are 0..100, and at 1, the default, nearly "
                "always the same hypothesis is drawn; 10 draws one that is worth 10 less about a third as often"
            )
        return self


def drawn(table: pa.Table, turns: npt.NDArray[np.int64] | int, config: NBestConfig, part: Part = "tokens") -> pa.Table:
    """Of each row one hypothesis, in `target_tokens`, for its hypotheses and their utilities; other columns stay.

    `part` text: what stands in `target_tokens` is the hypothesis's text, for a tokenizer that is not the teacher's.
    What is drawn depends on the row's id and its turn [rows] alone, which is the epoch where it comes once in each.
    Raises DataError when a row has another number of utilities than of hypotheses, or no hypothesis.
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
    counts = np.minimum(lengths, config.count)
    chosen = taken[_drawn(_softmax(worth[taken] / config.temperature, counts), counts, _uniform(table, turns))]
    others = [name for name in table.column_names if name not in ("hypotheses", "utility", TARGET)]
    return table.select(others).append_column(TARGET, pc.struct_field(each, part).take(pa.array(chosen)))


def _uniform(table: pa.Table, turns: npt.NDArray[np.int64] | int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row."""
    ids = np.array([zlib.crc32(row_id.encode()) for row_id in table.column("id").to_pylist()], dtype=np.float64)
    return (ids / 2**32 + turns * _GOLDEN) % 1


def _drawn(
    probs: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], uniform: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Place in `probs`, where each row's stand one row after the other, of the one that each row draws."""
    ends = np.cumsum(counts)
    # Row r's probabilities end at r + 1 when they are added up; the last of a row is never passed by.
    places = np.searchsorted(np.cumsum(probs), np.arange(len(counts)) + uniform, side="right")
    return np.clip(places, ends - counts, ends - 1)


def _worth(table: pa.Table, hypotheses: Any, config: NBestConfig) -> npt.NDArray[np.float64]:
    if config.weights == "utility":
        values = pc.list_flatten(table.column("utility").combine_chunks())
    else:
        values = pc.struct_field(hypotheses, "score")
        if values.null_count:
            raise DataError(
                f"{values.null_count} of {len(values)} hypotheses were given without a score, so none says how often "
                "each is to be drawn; set student.nbest.weights to 'utility', with its temperature"
            )
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
