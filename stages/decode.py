"""decode: every source through the teacher's beam search; all hypotheses are kept, best first."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.teacher_model import TeacherModel, check_tokenizer, load_teacher, token_batches
from stages.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from ctranslate2 import TranslationResult

VERSION = "1"
READS = {"corpus": ("source",)}
RESOURCES = ("teacher", "tokenizer")
LIBRARIES = ("ctranslate2", "sentencepiece")
SCHEMA = schema.NBEST

METADATA_KEY = b"potstill.decode"
# A source that is not given to the teacher gets one hypothesis, with no tokens and this for a score.
UNTRANSLATED_SCORE = -1.0e4
# Source tokens times beam size: small batches stay in a CPU's cache, large ones fill a GPU.
_CPU_BATCH_TOKENS, _CUDA_BATCH_TOKENS = 512, 16384


class Config(BaseModel):
    """How the teacher searches. Nothing is sampled, and unknown words are left as the teacher made them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beam_size: int = Field(5, description="hypotheses followed at the same time; 1 is greedy search", ge=1, le=64)
    num_hypotheses: int = Field(5, description="hypotheses kept of every source; at most beam_size", ge=1, le=64)
    length_penalty: float = Field(1.0, description="scores are divided by length to this power; 0 does not", ge=0, le=5)
    max_batch_tokens: int = Field(
        0, description="source tokens of a batch, padding counts; 0 takes what suits the device", ge=0
    )
    max_source_tokens: int = Field(
        256, description="longer sources are not translated; their hypothesis is empty", ge=1, le=1000
    )
    max_decoding_length: int = Field(256, description="tokens after which a hypothesis is cut off", ge=1, le=1000)

    @model_validator(mode="after")
    def _hypotheses_fit_the_beam(self) -> Self:
        if self.num_hypotheses > self.beam_size:
            raise ValueError(
                f"num_hypotheses {self.num_hypotheses} is more than beam_size {self.beam_size}: a beam yields no more"
            )
        return self


@dataclass(frozen=True)
class Resources:
    """A loaded teacher and its tokenizer."""

    teacher: TeacherModel
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Hypothesis:
    """One entry of an n-best list; see `data.schema.HYPOTHESIS`."""

    tokens: list[str]
    score: float


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Loads both; raises ModelError when the teacher cannot be loaded, or the tokenizer is not the teacher's."""
    folder = artifacts["teacher"].path()
    tokenizer = load_tokenizer(artifacts["tokenizer"].path())
    check_tokenizer(tokenizer, folder)
    return Resources(load_teacher(folder, runtime), tokenizer)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """NBEST for a table with `id` and `source`, row by row; how it was searched is in the schema's metadata.

    Batches depend on the shard alone, so a second run gives the same bytes. A source without tokens, or with
    more than `max_source_tokens` or than the teacher has positions for, is not translated: its one hypothesis is
    empty and scores UNTRANSLATED_SCORE.
    """
    sources = resources.tokenizer.encode_source(table.column("source").to_pylist())
    sizes = [(len(tokens),) for tokens in sources]
    longest = min(config.max_source_tokens, resources.teacher.longest_source or config.max_source_tokens)
    asked = [row for row, (length,) in enumerate(sizes) if 0 < length <= longest]
    found: list[list[Hypothesis]] = [[Hypothesis([], UNTRANSLATED_SCORE)] for _ in sources]
    for rows in token_batches(asked, sizes, _batch_tokens(config, resources.teacher)):
        results = _search([sources[row] for row in rows], config, resources.teacher)
        for row, hypotheses in zip(rows, results, strict=True):
            found[row] = hypotheses
    metadata = _metadata(config, resources.teacher)
    columns = [table.column("id"), _column(found, resources.tokenizer)]
    return pa.Table.from_arrays(columns, schema=SCHEMA.with_metadata(metadata))


def count(table: pa.Table) -> dict[str, int | float]:
    """Hypotheses, their tokens, and the sources that were not translated."""
    hypotheses = pc.list_flatten(table.column("hypotheses").combine_chunks())
    tokens = pc.sum(pc.list_value_length(pc.struct_field(hypotheses, "tokens"))).as_py()
    untranslated = pc.sum(pc.equal(pc.struct_field(hypotheses, "score"), pa.scalar(UNTRANSLATED_SCORE, pa.float32())))
    return {"hypotheses": len(hypotheses), "tokens": tokens or 0, "untranslated": untranslated.as_py() or 0}


def _batch_tokens(config: Config, teacher: TeacherModel) -> int:
    default = _CPU_BATCH_TOKENS if teacher.translator.device == "cpu" else _CUDA_BATCH_TOKENS
    return config.max_batch_tokens or default


def _search(sources: list[list[str]], config: Config, teacher: TeacherModel) -> list[list[Hypothesis]]:
    prefix = list(teacher.info.target_prefix)
    results = teacher.translator.translate_batch(
        teacher.sources(sources),
        target_prefix=[prefix] * len(sources) if prefix else None,
        beam_size=config.beam_size,
        num_hypotheses=config.num_hypotheses,
        length_penalty=config.length_penalty,
        max_input_length=0,
        max_decoding_length=_longest(config, teacher),
        return_scores=True,
        replace_unknowns=False,
    )
    return [_hypotheses(result, len(prefix), config, _longest(config, teacher)) for result in results]


def _longest(config: Config, teacher: TeacherModel) -> int:
    """Target tokens after which a hypothesis is cut off, its prefix counted."""
    return min(config.max_decoding_length, teacher.longest_target or config.max_decoding_length)


def _hypotheses(result: "TranslationResult", prefix_length: int, config: Config, longest: int) -> list[Hypothesis]:
    hypotheses = [
        Hypothesis(
            tokens[prefix_length:], _own_score(score, len(tokens), prefix_length, config.length_penalty, longest)
        )
        for tokens, score in zip(result.hypotheses, result.scores, strict=True)
    ]
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


def _own_score(score: float, length: int, prefix_length: int, length_penalty: float, longest: int) -> float:
    """CTranslate2 divides by a length that counts the target prefix, of which the sum of log-probabilities has none."""
    positions = length if length >= longest else length + 1
    return score * math.pow(positions / max(positions - prefix_length, 1), length_penalty)


def _column(found: Sequence[Sequence[Hypothesis]], tokenizer: Tokenizer) -> pa.Array:
    texts = iter(tokenizer.decode_target([hypothesis.tokens for row in found for hypothesis in row]))
    rows = [[{"tokens": one.tokens, "text": next(texts), "score": one.score} for one in row] for row in found]
    return pa.array(rows, type=SCHEMA.field("hypotheses").type)


def _metadata(config: Config, teacher: TeacherModel) -> dict[bytes, bytes]:
    options = {"beam_size": config.beam_size, "length_penalty": config.length_penalty}
    made = options | {"compute_type": teacher.translator.compute_type, "teacher_digest": teacher.info.digest}
    return {METADATA_KEY: json.dumps(made, sort_keys=True).encode()}
