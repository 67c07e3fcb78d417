"""pool: the n-best lists of several teachers as one, each hypothesis with the name of who made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from data import schema
from data.artifact import Artifact
from data.join import part
from data.runtime import Runtime
from data.teachers import node_of
from stages.text.tokenizer import Tokenizer, load_tokenizer

VERSION = "1"
LIBRARIES = ("sentencepiece",)
SCHEMA = schema.NBEST

_HYPOTHESES = SCHEMA.field("hypotheses").type
Numbers = npt.NDArray[np.int64]


class Config(BaseModel):
    """Whose hypotheses are put together; the recipe's teachers fill it in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teachers: tuple[str, ...] = Field(description="names of the teachers, in the recipe's order", min_length=2)
    retokenised: tuple[str, ...] = Field(
        (), description="those with a tokenizer of their own: their texts are split anew, by [tokenizer]"
    )


@dataclass(frozen=True)
class Resources:
    """What splits the texts of teachers with other subwords; None where there is none such."""

    tokenizer: Tokenizer | None = None


def reads(config: Config) -> dict[str, tuple[str, ...]]:
    """The n-best of every teacher."""
    return {node_of("decode", teacher): ("hypotheses",) for teacher in config.teachers}


def resources(config: Config) -> tuple[str, ...]:
    """The tokenizer, where some texts are split anew."""
    return ("tokenizer",) if config.retokenised else ()


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """The tokenizer, likewise."""
    return Resources(load_tokenizer(artifacts["tokenizer"].path()) if config.retokenised else None)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """NBEST for the tables of all teachers, side by side: teacher by teacher, each one's best first.

    What a teacher did not translate is left out of a row that another one did.
    """
    lists = [
        part(table, node_of("decode", teacher)).column("hypotheses").combine_chunks().cast(_HYPOTHESES)
        for teacher in config.teachers
    ]
    entries = [
        _split_anew(pc.list_flatten(each), resources.tokenizer)
        if teacher in config.retokenised
        else pc.list_flatten(each)
        for teacher, each in zip(config.teachers, lists, strict=True)
    ]
    flat = pa.concat_arrays(entries)
    row = np.concatenate([np.repeat(np.arange(len(each)), pc.list_value_length(each).to_numpy()) for each in lists])
    kept = np.flatnonzero(_kept(row, _translated(flat), table.num_rows))
    kept = kept[np.argsort(row[kept], kind="stable")]
    ends = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=table.num_rows))])
    column = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat.take(pa.array(kept))).cast(_HYPOTHESES)
    return pa.Table.from_arrays([table.column("id"), column], schema=SCHEMA)


def count(table: pa.Table) -> dict[str, int | float]:
    """Hypotheses and their tokens; hypotheses of each teacher."""
    flat = pc.list_flatten(table.column("hypotheses").combine_chunks())
    tokens = pc.sum(pc.list_value_length(pc.struct_field(flat, "tokens"))).as_py()
    found = pc.value_counts(pc.struct_field(flat, "teacher")).to_pylist()
    return {"hypotheses": len(flat), "tokens": tokens or 0, **{f"of_{one['values']}": one["counts"] for one in found}}


def _translated(flat: pa.StructArray) -> npt.NDArray[np.bool_]:
    score = pc.struct_field(flat, "score").to_numpy(zero_copy_only=False)
    return np.asarray(score != np.float32(schema.UNTRANSLATED_SCORE))


def _kept(row: Numbers, translated: npt.NDArray[np.bool_], rows: int) -> npt.NDArray[np.bool_]:
    """What was translated; of a row that no teacher translated, the first entry."""
    lost = np.flatnonzero(np.bincount(row[translated], minlength=rows)[row] == 0)
    kept = translated.copy()
    kept[lost[np.unique(row[lost], return_index=True)[1]]] = True
    return kept


def _split_anew(entries: pa.StructArray, tokenizer: Tokenizer | None) -> pa.StructArray:
    """The hypotheses with the subwords that this tokenizer has for their texts."""
    if tokenizer is None:
        return entries
    kind = _HYPOTHESES.value_type
    texts: Sequence[str] = pc.struct_field(entries, "text").to_pylist()
    columns = [pc.struct_field(entries, field.name) for field in kind]
    columns[kind.get_field_index("tokens")] = pa.array(tokenizer.encode_target(texts), kind.field("tokens").type)
    return pa.StructArray.from_arrays(columns, fields=list(kind))
