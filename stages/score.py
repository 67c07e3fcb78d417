"""score: soft targets of the selected target by teacher forcing, with all of the vocabulary accounted for."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data import schema
from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import CHECKPOINT_FILE, TeacherInfo, load_teacher_info
from data.runtime import Runtime
from data.soft_targets import Conditioning, SoftTargetFormat, pack, smallest_ids_dtype
from stages.score_ctranslate2 import CTranslate2Scorer
from stages.score_torch import Precision, TorchScorer
from stages.soft_distribution import Kept, put, room
from stages.teacher_model import TargetVocabulary, check_tokenizer, device_of, load_teacher, token_batches
from stages.tokenizer import Tokenizer, load_tokenizer

VERSION = "2"
READS = {"corpus": ("source",), "select": ("target_tokens",)}
RESOURCES = ("teacher", "tokenizer", "select")
LIBRARIES = ("ctranslate2", "sentencepiece", "torch", "OpenNMT-py")
SCHEMA = schema.SOFT_TARGETS

# Tokens, padding counts, of a batch.
_BATCH_TOKENS = {"cpu": 512, "cuda": 16384}
# CTranslate2 hands out the logits of a whole batch, in host memory: at most 256 MiB of them.
_LOGITS_OF_A_BATCH = 1 << 26
# Of a source that was not translated no more is needed than that a model takes it.
_UNTRANSLATED_SOURCE_TOKENS = 64


class Config(BaseModel):
    """What is kept of the teacher's distribution, and what computes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(16, description="K: most probable entries kept at every position", ge=1, le=1024)
    backend: Literal["auto", "ctranslate2", "torch"] = Field(
        "auto",
        description="ctranslate2: any teacher; torch: one with an OpenNMT-py checkpoint; auto: the faster one, that is "
        "torch on a GPU, in bfloat16, or where the teacher is not int8",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="torch: type of matrix products; auto takes bfloat16, nearer to float64 than CTranslate2's int8, "
        "where the machine multiplies it in hardware",
    )
    encoding: Literal["exact", "compact"] = Field(
        "exact", description="on disk: exact, 4 bytes an entry and more; compact, about 2, within 2.2% of 1 - log-prob"
    )
    max_batch_tokens: int = Field(
        0, description="tokens of a batch on its longer side, padding counts; 0 takes what suits the device", ge=0
    )


class Scorer(Protocol):
    """A backend. Its results hang on the batch by no more than rounding."""

    compute_type: str

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], k: int) -> Kept:
        """What is kept of all positions of a batch, row by row."""


@dataclass(frozen=True)
class Resources:
    """A loaded backend and what the soft targets' readers must know of the teacher."""

    scorer: Scorer
    backend: str
    info: TeacherInfo
    unknown: str
    tokenizer: Tokenizer
    conditioning: Conditioning
    batch_tokens: int
    # Batches at a time.
    workers: int = 1


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Loads teacher and tokenizer; raises ModelError when they cannot be used together, or k is more than V."""
    folder = artifacts["teacher"].path()
    info, vocabulary = load_teacher_info(folder), TargetVocabulary.read(folder)
    if config.k > vocabulary.size:
        raise ModelError(f"score.k is {config.k}, but the teacher's vocabulary has {vocabulary.size} entries; lower it")
    tokenizer = load_tokenizer(artifacts["tokenizer"].path())
    check_tokenizer(tokenizer, folder)
    conditioning = _conditioning(artifacts["select"])
    device = device_of(info, runtime)
    batch_tokens = config.max_batch_tokens or _BATCH_TOKENS[device]
    if uses_torch(config, folder, info, device):
        _limit_torch(runtime.threads)
        precision: Precision = "bfloat16" if _bfloat16(config, device) else "float32"
        scorer: Scorer = TorchScorer(folder, info, vocabulary, device, precision)
        return Resources(scorer, "torch", info, vocabulary.unknown, tokenizer, conditioning, batch_tokens)
    # A batch on each of a CPU's threads: two threads on one batch take longer than one.
    workers = runtime.threads if device == "cpu" else 1
    _limit_torch(1)
    scorer = CTranslate2Scorer(load_teacher(folder, runtime, spread=True), vocabulary)
    batch_tokens = max(min(batch_tokens, _LOGITS_OF_A_BATCH // (vocabulary.size * workers)), 1)
    return Resources(scorer, "ctranslate2", info, vocabulary.unknown, tokenizer, conditioning, batch_tokens, workers)


def uses_torch(config: Config, folder: Path, info: TeacherInfo, device: str) -> bool:
    """Whether the torch backend is asked for, or possible and faster; raises ModelError when it is not possible.

    It has all positions of a sentence in one pass, where CTranslate2 goes step by step and hands every step's logits
    to the host. That wins on a GPU, and on a CPU unless CTranslate2 computes in int8 and torch cannot in bfloat16.
    Whoever names a precision wants it, and only torch has it.
    """
    available = (folder / CHECKPOINT_FILE).is_file()
    if config.backend == "torch" and not available:
        raise ModelError(
            f"score.backend is torch, but {folder} holds no {CHECKPOINT_FILE}: this teacher has no OpenNMT-py "
            "checkpoint; set it to ctranslate2 or auto"
        )
    if config.backend != "auto" or not available:
        return config.backend == "torch"
    chosen = device == "cuda" or config.precision != "auto" or not info.quantization.startswith("int8")
    return chosen or _bfloat16(config, device)


def _conditioning(selected: Artifact) -> Conditioning:
    """What select made the target, which is what is forced."""
    return "reference" if selected.manifest().config.get("metric") == "reference" else "hypothesis"


def _limit_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _bfloat16(config: Config, device: str) -> bool:
    from stages.training.loop import use_bfloat16

    return use_bfloat16(config.precision, device)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SOFT_TARGETS for a table with `id`, `source` and `target_tokens`, row by row.

    T is the number of target tokens and one for </s>. A row whose target is empty has T = 1: the distribution over
    how to begin.
    """
    targets: list[list[str]] = table.column("target_tokens").to_pylist()
    sources = _sources(table, targets, resources)
    lengths = np.array([len(target) + 1 for target in targets], dtype=np.int64)
    kept = _score(sources, targets, lengths, config.k, resources)
    result = pack(
        row_ids=table.column("id").to_pylist(),
        lengths=lengths.tolist(),
        topk_ids=kept.topk_ids,
        topk_log_probs=kept.topk_log_probs,
        tail_log_mass=kept.tail_log_mass,
        token_log_probs=kept.token_log_probs,
        entropy=kept.entropy,
        target_format=_format(config, resources),
    )
    notes = {schema.NOTES_KEY: json.dumps(_sums(kept)).encode()}
    return result.replace_schema_metadata({**result.schema.metadata, **notes})


def count(table: pa.Table) -> dict[str, int | float]:
    """Positions, and sums over them: the mass of the kept entries, entropy in nats, how often the forced was top-1."""
    notes: dict[str, int | float] = json.loads((table.schema.metadata or {}).get(schema.NOTES_KEY, b"{}"))
    return notes


def _sums(kept: Kept) -> dict[str, int | float]:
    """Counted before anything is rounded to be stored."""
    return {
        "tokens": len(kept.entropy),
        "kept_mass": float((1.0 - np.exp(kept.tail_log_mass.astype(np.float64))).sum()),
        "entropy": float(kept.entropy.astype(np.float64).sum()),
        "top1": int((kept.token_log_probs >= kept.topk_log_probs[:, 0]).sum()),
    }


def _sources(table: pa.Table, targets: Sequence[Sequence[str]], resources: Resources) -> list[list[str]]:
    """Source subwords; a row with nothing to force may have a source that no model takes: none, or one without end."""
    tokens = resources.tokenizer.encode_source(table.column("source").to_pylist())
    pairs = zip(tokens, targets, strict=True)
    return [
        list(source) if target else list(source[:_UNTRANSLATED_SOURCE_TOKENS]) or [resources.unknown]
        for source, target in pairs
    ]


def _score(
    sources: list[list[str]],
    targets: list[list[str]],
    lengths: npt.NDArray[np.int64],
    k: int,
    resources: Resources,
) -> Kept:
    kept = room(int(lengths.sum()), k)
    starts = np.cumsum(lengths) - lengths
    # Target first: a row that is shorter than its batch's longest is searched on for nothing.
    sizes = [(int(length), len(source)) for length, source in zip(lengths, sources, strict=True)]
    batches = list(token_batches(range(len(sources)), sizes, resources.batch_tokens))

    def score(rows: list[int]) -> Kept:
        return resources.scorer.score([sources[row] for row in rows], [targets[row] for row in rows], k)

    with ThreadPoolExecutor(resources.workers) as pool:
        for rows, part in zip(batches, pool.map(score, batches), strict=True):
            put(part, kept, np.concatenate([np.arange(starts[row], starts[row] + lengths[row]) for row in rows]))
    return kept


def _format(config: Config, resources: Resources) -> SoftTargetFormat:
    size = resources.info.target_vocabulary_size
    return SoftTargetFormat(
        k=config.k,
        vocabulary_size=size,
        ids_dtype=smallest_ids_dtype(size),
        vocabulary_digest=resources.info.vocabulary_digest,
        teacher_digest=resources.info.digest,
        conditioning=resources.conditioning,
        compute_type=resources.scorer.compute_type,
        backend=resources.backend,
        encoding=config.encoding,
    )
