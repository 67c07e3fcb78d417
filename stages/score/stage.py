"""score: soft targets of the selected target by teacher forcing, with all of the vocabulary accounted for."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data import schema
from data.artifact import Artifact
from data.drawn_targets import counted, pack_drawn
from data.errors import DataError, ModelError
from data.language_tags import Direction
from data.model_folder import TeacherInfo, load_teacher_info
from data.runtime import Runtime
from data.soft_targets import Conditioning, SoftTargetFormat, pack, smallest_ids_dtype
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import is_for, rows_by_direction
from stages.loaded_model.belonging import check_tokenizer
from stages.loaded_model.engine import GeneratorEngine, TranslatorEngine
from stages.loaded_model.model import (
    Positions,
    TargetVocabulary,
    TeacherModel,
    device_of,
    load_teacher,
    positions_of,
    token_batches,
)
from stages.loaded_model.prompt import encode_sources
from stages.score.backend import Asked, Backend, Precision, Way, read_way, ways_for
from stages.score.by_ctranslate2 import CTranslate2Scorer
from stages.score.by_generator import GeneratorScorer
from stages.score.by_torch import TorchScorer
from stages.score.soft_distribution import Kept, Wanted, no_opinion, put, room, uniforms
from stages.text.tokenizer import Tokenizer, load_tokenizer

VERSION = "7"
READS = {"corpus": ("source", *LANGUAGES), "select": ("target_tokens", "metric")}
RESOURCES = ("teacher", "tokenizer", "scorer")
LIBRARIES = ("ctranslate2", "sentencepiece", "torch", "OpenNMT-py", "numpy")
SCHEMA = schema.SOFT_TARGETS

# Tokens, padding counts, of a batch.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}
# CTranslate2 hands out the logits of a whole batch, in host memory: at most 256 MiB of them.
_LOGITS_OF_A_BATCH = 1 << 26
# Of a source that was not translated no more is needed than that a model takes it.
_UNTRANSLATED_SOURCE_TOKENS = 64
Temperature = Annotated[float, Field(gt=0, le=100)]


class Config(BaseModel):
    """What is kept of the teacher's distribution, and what computes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["topk", "sampled"] = Field(
        "topk",
        description="topk: the k most probable entries and the mass of the rest; sampled: entries drawn from the whole "
        "distribution, with counts, an unbiased estimate of it",
    )
    k: int = Field(16, description="topk: K, the most probable entries kept at every position", ge=1, le=1024)
    temperatures: tuple[Temperature, ...] = Field(
        (),
        description="topk: temperatures beside 1 at which the mass of the rest is stored too, so that a student can "
        "temper the whole distribution exactly",
        max_length=8,
    )
    draws: int = Field(50, description="sampled: entries drawn at every position, with replacement", ge=1, le=1024)
    seed: int = Field(1, description="sampled: of the draws, which follow it and the row's id", ge=0, lt=2**31)
    backend: Backend = Field(
        "auto",
        description="ctranslate2: any teacher; torch: one with an OpenNMT-py checkpoint; auto: torch on a GPU, else "
        "what is found to be fastest here, once a run; of two that are as fast, the more exact one",
    )
    precision: Precision = Field(
        "auto",
        description="torch: type of matrix products; auto: what is fastest, where backend is auto, too, else bfloat16 "
        "where the machine multiplies it in hardware",
    )
    encoding: Literal["exact", "compact"] = Field(
        "exact", description="on disk: exact, 4 bytes an entry and more; compact, about 2, within 2.2% of 1 - log-prob"
    )
    max_batch_tokens: int = Field(
        0, description="tokens of a batch on its longer side, padding counts; 0 takes what suits the device", ge=0
    )

    @model_validator(mode="after")
    def _only_what_the_mode_has(self) -> Self:
        others = {"topk": {"draws", "seed"}, "sampled": {"k", "temperatures"}}[self.mode]
        if found := sorted(others & self.model_fields_set):
            raise ValueError(f"{', '.join(found)} cannot be set where mode is {self.mode!r}: take them out")
        return self

    @field_validator("temperatures")
    @classmethod
    def _other_temperatures(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if 1.0 in values or len(set(values)) < len(values):
            raise ValueError(f"must be different and not 1, which is always stored, found {list(values)}")
        return tuple(sorted(values))

    def asked(self) -> Asked:
        """What has a say in the backend."""
        return Asked(self.backend, self.precision)


class Scorer(Protocol):
    """A backend. Its results hang on the batch by no more than rounding."""

    compute_type: str

    def toward(self, direction: Direction) -> "Scorer":
        """The same model as it is asked in one direction."""

    def size(self, source: int, positions: int) -> tuple[int, ...]:
        """What a row of so many source tokens and target positions is sorted and batched by."""

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], wanted: Wanted) -> Kept:
        """What is kept of all positions of a batch, row by row; a row has one more than its target has tokens."""


@dataclass(frozen=True)
class Resources:
    """A loaded backend and what the soft targets' readers must know of the teacher."""

    scorer: Scorer
    backend: str
    info: TeacherInfo
    unknown: str
    tokenizer: Tokenizer
    batch_tokens: int
    positions: Positions
    # Batches at a time.
    workers: int = 1


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Loads teacher and tokenizer, with the backend that was chosen for the run.

    Raises ModelError when they cannot be used together, or k is more than V.
    """
    return open_resources(config, artifacts, runtime, _way(config, artifacts, runtime))


def open_resources(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime, way: Way) -> Resources:
    """The same with a backend of one's own choice."""
    folder = artifacts["teacher"].path()
    info = load_teacher_info(folder)
    vocabulary = TargetVocabulary.read(folder, info.end_token)
    if config.mode == "topk" and config.k > vocabulary.size:
        raise ModelError(f"score.k is {config.k}, but the teacher's vocabulary has {vocabulary.size} entries; lower it")
    tokenizer = load_tokenizer(artifacts["tokenizer"].path())
    check_tokenizer(tokenizer, folder)
    device, positions = device_of(info, runtime), positions_of(folder, info)
    batch_tokens = config.max_batch_tokens or _BATCH_TOKENS[device]
    if way.backend == "torch":
        _limit_torch(runtime.threads)
        scorer: Scorer = TorchScorer(folder, info, vocabulary, device, way.precision or "float32")
        return Resources(scorer, "torch", info, vocabulary.unknown, tokenizer, batch_tokens, positions)
    # A batch on each of a CPU's threads: two threads on one batch take longer than one.
    workers = runtime.threads if device == "cpu" else 1
    _limit_torch(1)
    scorer = _scorer(load_teacher(folder, runtime, spread=True), vocabulary)
    batch_tokens = max(min(batch_tokens, _LOGITS_OF_A_BATCH // (vocabulary.size * workers)), 1)
    return Resources(scorer, "ctranslate2", info, vocabulary.unknown, tokenizer, batch_tokens, positions, workers)


def _way(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Way:
    """What the stage scorer chose; where there is but one way, it need not have been asked."""
    if "scorer" in artifacts:
        return read_way(artifacts["scorer"].path())
    folder = artifacts["teacher"].path()
    info = load_teacher_info(folder)
    ways = ways_for(config.asked(), folder, info, device_of(info, runtime))
    if len(ways) > 1:
        raise ModelError(
            f"score.backend is auto, and nothing was chosen of {', '.join(map(str, ways))}; run scorer first"
        )
    return ways[0]


def _scorer(teacher: TeacherModel, vocabulary: TargetVocabulary) -> Scorer:
    engine = teacher.engine
    if isinstance(engine, GeneratorEngine):
        return GeneratorScorer(teacher, engine, vocabulary)
    if isinstance(engine, TranslatorEngine):
        return CTranslate2Scorer(teacher, engine, vocabulary)
    raise TypeError(f"no scorer for {type(engine).__name__}")


def _limit_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SOFT_TARGETS for a table with `id`, `source`, `target_tokens` and `metric`, row by row.

    T is the number of target tokens and one for </s>. A row whose target is empty has T = 1: the distribution over
    how to begin. `metric` is select's: where it is `reference`, that is what is forced. Of languages that the teacher
    is not for it says nothing: every entry is as probable as any other. So it is, with `none` as the conditioning,
    where it has too few positions for the source or for the target.
    """
    targets: list[list[str]] = table.column("target_tokens").to_pylist()
    sources = _sources(table, targets, resources)
    lengths = np.array([len(target) + 1 for target in targets], dtype=np.int64)
    ids, fits = table.column("id").to_pylist(), _fits(sources, targets, resources.positions)
    of_teacher = is_for(resources.info, table)
    asked, too_long = of_teacher & fits, of_teacher & ~fits
    metrics = table.column("metric").to_pylist()
    conditioning = ["none" if long else _conditioning(metric) for metric, long in zip(metrics, too_long, strict=True)]
    directions = [
        (direction, [row for row in rows if asked[row]]) for direction, rows in rows_by_direction(resources.info, table)
    ]
    kept = _score(sources, targets, lengths, directions, _wanted(config, ids, lengths), resources)
    result = _packed(ids, lengths.tolist(), conditioning, kept, _format(config, resources))
    counted = _sums(kept, ~np.repeat(too_long, lengths)) | _of_rows(conditioning)
    notes = {schema.NOTES_KEY: json.dumps(counted).encode()}
    return result.replace_schema_metadata({**result.schema.metadata, **notes})


def count(table: pa.Table) -> dict[str, int | float]:
    """Positions, and sums over them: the mass of the kept entries, entropy in nats, how often the forced was top-1.

    Positions of rows that were too long are none of them; those rows are counted. So are forced references.
    Raises DataError when the table is not as `run` returned it: what is counted stands beside its rows.
    """
    noted = (table.schema.metadata or {}).get(schema.NOTES_KEY)
    if noted is None:
        raise DataError(
            f"the schema's metadata lacks {schema.NOTES_KEY.decode()}: only the table that score made has what it "
            "counted; do not take it apart before"
        )
    notes: dict[str, int | float] = json.loads(noted)
    return notes


def _conditioning(metric: str) -> Conditioning:
    """What select made the row's target, which is what is forced."""
    return "reference" if metric == "reference" else "hypothesis"


def _wanted(config: Config, ids: Sequence[str], lengths: npt.NDArray[np.int64]) -> Wanted:
    if config.mode == "topk":
        return Wanted(config.k, config.temperatures)
    # The most probable entry is asked for all the same: it is counted how often the forced token is it.
    return Wanted(1, uniforms=uniforms(config.seed, ids, lengths, config.draws))


def _packed(
    ids: Sequence[str],
    lengths: Sequence[int],
    conditioning: Sequence[Conditioning],
    kept: Kept,
    target_format: SoftTargetFormat,
) -> pa.Table:
    if target_format.mode == "sampled":
        return pack_drawn(
            row_ids=ids,
            lengths=lengths,
            conditioning=conditioning,
            drawn=counted(kept.drawn_ids),
            token_log_probs=kept.token_log_probs,
            entropy=kept.entropy,
            target_format=target_format,
        )
    return pack(
        row_ids=ids,
        lengths=lengths,
        conditioning=conditioning,
        topk_ids=kept.topk_ids,
        topk_log_probs=kept.topk_log_probs,
        tail_log_mass=kept.tail_log_mass,
        tempered_tail_log_mass=kept.tempered_tails,
        token_log_probs=kept.token_log_probs,
        entropy=kept.entropy,
        target_format=target_format,
    )


def _fits(
    sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], positions: Positions
) -> npt.NDArray[np.bool_]:
    """Whether the teacher has positions for a row, [rows]: one without would fail the whole shard."""
    rows = zip(sources, targets, strict=True)
    return np.array([positions.hold(len(source), len(target)) for source, target in rows], dtype=bool)


def _of_rows(conditioning: Sequence[Conditioning]) -> dict[str, int]:
    return {"references": conditioning.count("reference"), "too_long": conditioning.count("none")}


def _sums(kept: Kept, forced: npt.NDArray[np.bool_]) -> dict[str, int | float]:
    """Over the positions that were `forced`, [N].

    Counted before anything is rounded to be stored; what is drawn holds, on average, all of the mass.
    """
    mass = 1.0 - np.exp(kept.tail_log_mass[forced].astype(np.float64))
    return {
        "tokens": len(mass),
        "kept_mass": float(len(mass) if kept.drawn_ids.size else mass.sum()),
        "entropy": float(kept.entropy[forced].astype(np.float64).sum()),
        "top1": int((kept.token_log_probs >= kept.topk_log_probs[:, 0])[forced].sum()),
    }


def _sources(table: pa.Table, targets: Sequence[Sequence[str]], resources: Resources) -> list[list[str]]:
    """Source subwords; a row with nothing to force may have a source that no model takes: none, or one without end."""
    tokens = encode_sources(table.column("source").to_pylist(), resources.tokenizer, resources.info.prompt)
    pairs = zip(tokens, targets, strict=True)
    return [
        list(source) if target else list(source[:_UNTRANSLATED_SOURCE_TOKENS]) or [resources.unknown]
        for source, target in pairs
    ]


def _score(
    sources: list[list[str]],
    targets: list[list[str]],
    lengths: npt.NDArray[np.int64],
    directions: Sequence[tuple[Direction, list[int]]],
    wanted: Wanted,
    resources: Resources,
) -> Kept:
    """All positions of the rows that are in some direction; of the others the teacher says nothing."""
    kept = room(int(lengths.sum()), wanted)
    unasked = np.ones(len(lengths), dtype=bool)
    unasked[[row for _, rows in directions for row in rows]] = False
    others = np.flatnonzero(np.repeat(unasked, lengths))
    put(no_opinion(wanted.of(others), len(others), resources.info.target_vocabulary_size), kept, others)
    starts = np.cumsum(lengths) - lengths
    pairs = zip(sources, lengths, strict=True)
    sizes = [resources.scorer.size(len(source), int(length)) for source, length in pairs]
    batches = [
        (resources.scorer.toward(direction), batch)
        for direction, rows in directions
        for batch in token_batches(rows, sizes, resources.batch_tokens)
    ]
    places = [
        np.concatenate([np.arange(starts[row], starts[row] + lengths[row]) for row in rows]) for _, rows in batches
    ]

    def score(batch: tuple[Scorer, list[int]], at: npt.NDArray[np.int64]) -> Kept:
        scorer, rows = batch
        return scorer.score([sources[row] for row in rows], [targets[row] for row in rows], wanted.of(at))

    with ThreadPoolExecutor(resources.workers) as pool:
        for at, part in zip(places, pool.map(score, batches, places), strict=True):
            put(part, kept, at)
    return kept


def _format(config: Config, resources: Resources) -> SoftTargetFormat:
    size, sampled = resources.info.target_vocabulary_size, config.mode == "sampled"
    return SoftTargetFormat(
        mode=config.mode,
        k=0 if sampled else config.k,
        draws=config.draws if sampled else 0,
        seed=config.seed if sampled else 0,
        temperatures=config.temperatures,
        vocabulary_size=size,
        ids_dtype=smallest_ids_dtype(size),
        vocabulary_digest=resources.info.vocabulary_digest,
        teacher_digest=resources.info.digest,
        pairs=resources.info.pairs,
        compute_type=resources.scorer.compute_type,
        backend=resources.backend,
        encoding=config.encoding,
    )
