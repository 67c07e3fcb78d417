"""score, of a teacher that is given: the log-probabilities that came with its translations, as soft targets.

Nothing is computed, and so nothing is known of a target that it did not give, or whose positions its entries do not
fit.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data import schema
from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.model_folder import TeacherInfo, end_of, load_teacher_info, read_vocabulary
from data.runtime import Runtime
from data.soft_targets import Conditioning, SoftTargetFormat, pack, smallest_ids_dtype
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import is_for
from stages.score.soft_distribution import Kept, Wanted, no_opinion, put, room
from stages.score.stage import Config
from stages.training.vocabulary import END

__all__ = ["Config", "Resources", "count", "load", "run"]

VERSION = "1"
READS = {
    "corpus": LANGUAGES,
    "select": ("target", "target_tokens", "metric"),
    "given": ("texts", "tokens", "log_probs"),
}
RESOURCES = ("teacher",)
LIBRARIES = ("numpy",)
SCHEMA = schema.SOFT_TARGETS

# Of what a target's positions lack, in the words of the counters.
NOT_GIVEN, OTHER_TOKENS = "target_not_given", "other_tokens"
UNKNOWN_ENTRIES, NO_CHOICE, TOO_FEW = "unknown_entries", "token_not_among_entries", "too_few_entries"
_LEAST_MASS = float(np.finfo(np.float32).tiny)
Entries = list[list[dict[str, Any]]]


@dataclass(frozen=True)
class Resources:
    """What is known of the teacher, and the ids of its tokens; `</s>` is its end, whatever it calls it."""

    info: TeacherInfo
    ids: Mapping[str, int]
    # Its own name for the end.
    end: str


@dataclass(frozen=True)
class _Positions:
    """What was given of one target, [T, K] and [T]."""

    ids: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float64]
    tail: npt.NDArray[np.float64]
    token: npt.NDArray[np.float64]


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """The vocabulary; raises ModelError when k is more than V."""
    folder = artifacts["teacher"].path()
    tokens, end = read_vocabulary(folder, "target"), end_of(folder)
    if config.k > len(tokens):
        raise ModelError(f"score.k is {config.k}, but the vocabulary has {len(tokens)} entries; lower it")
    ids = {token: number for number, token in enumerate(tokens)}
    return Resources(load_teacher_info(folder), ids | {END: ids[end]}, end)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SOFT_TARGETS for rows of the corpus with their targets and what was given of them.

    Of each position the k most probable entries that were given; the tail has what is left of 1. A target of which
    nothing is known has the conditioning `unknown`, and all entries count as equal there, as do those of languages
    that the teacher is not for. Raises DataError where no position of a shard has k entries.
    """
    rows, reasons, most = [], Counter[str](), 0
    for row in table.to_pylist():
        entries, reason = _found(row)
        most = max(most, max(map(len, entries), default=0)) if entries else most
        found, reason = (None, reason) if entries is None else _positions(row, entries, config.k, resources)
        rows.append(found)
        reasons[reason] += found is None
    if reasons[TOO_FEW] and most < config.k:
        raise DataError(
            f"score.k is {config.k}, and no position has more than {most} entries in the file; set score.k = {most}"
        )
    of_teacher = is_for(resources.info, table)
    conditioning: list[Conditioning] = [
        "unknown" if found is None and asked else "hypothesis" for found, asked in zip(rows, of_teacher, strict=True)
    ]
    lengths = np.array([len(tokens) + 1 for tokens in table.column("target_tokens").to_pylist()], dtype=np.int64)
    kept = _kept(rows, lengths, Wanted(config.k), resources.info.target_vocabulary_size)
    result = pack(
        row_ids=table.column("id").to_pylist(),
        lengths=lengths.tolist(),
        conditioning=conditioning,
        topk_ids=kept.topk_ids,
        topk_log_probs=kept.topk_log_probs,
        tail_log_mass=kept.tail_log_mass,
        token_log_probs=kept.token_log_probs,
        entropy=None,
        target_format=_format(config, resources),
    )
    known = np.repeat([found is not None for found in rows], lengths)
    noted = {schema.NOTES_KEY: json.dumps(_sums(kept, known) | _reasons(reasons)).encode()}
    return result.replace_schema_metadata({**result.schema.metadata, **noted})


def count(table: pa.Table) -> dict[str, int | float]:
    """What score counts, of the positions that are known, and rows of which nothing is, by why."""
    notes: dict[str, int | float] = json.loads(table.schema.metadata[schema.NOTES_KEY])
    return notes


def _found(row: Mapping[str, Any]) -> tuple[Entries | None, str]:
    """What was given of a row's target; None, and why, where that is nothing."""
    if row["metric"] == "reference" or row["target"] not in row["texts"]:
        return None, NOT_GIVEN
    place = row["texts"].index(row["target"])
    given, tokens = row["log_probs"][place], row["tokens"][place]
    if given is None:
        return None, NOT_GIVEN
    fits = (tokens is None or tokens == row["target_tokens"]) and len(given) == len(row["target_tokens"]) + 1
    return (given, "") if fits else (None, OTHER_TOKENS)


def _positions(row: Mapping[str, Any], entries: Entries, k: int, resources: Resources) -> tuple[_Positions | None, str]:
    """All positions of a target in numbers; None, and why, where one lacks something."""
    if any(len(position) < k for position in entries):
        return None, TOO_FEW
    forced = [resources.ids.get(token, -1) for token in (*row["target_tokens"], resources.end)]
    ids = [[resources.ids.get(one["token"], -1) for one in position] for position in entries]
    if -1 in forced or any(-1 in position for position in ids):
        return None, UNKNOWN_ENTRIES
    if not all(token in position for token, position in zip(forced, ids, strict=True)):
        return None, NO_CHOICE
    log_probs = [[one["log_prob"] for one in position] for position in entries]
    token = [own[place.index(one)] for own, place, one in zip(log_probs, ids, forced, strict=True)]
    top = np.array([position[:k] for position in log_probs], dtype=np.float64)
    tail = np.log(np.maximum(1.0 - np.exp(top).sum(axis=1), _LEAST_MASS))
    return _Positions(np.array([position[:k] for position in ids], dtype=np.int64), top, tail, np.array(token)), ""


def _kept(rows: Sequence[_Positions | None], lengths: npt.NDArray[np.int64], wanted: Wanted, size: int) -> Kept:
    """All rows one after the other."""
    kept, starts = room(int(lengths.sum()), wanted), np.cumsum(lengths) - lengths
    for start, length, found in zip(starts.tolist(), lengths.tolist(), rows, strict=True):
        span = slice(start, start + length)
        if found is None:
            put(no_opinion(wanted, length, size), kept, span)
            continue
        kept.topk_ids[span], kept.topk_log_probs[span] = found.ids, found.log_probs
        kept.tail_log_mass[span], kept.token_log_probs[span] = found.tail, found.token
    return kept


def _sums(kept: Kept, known: npt.NDArray[np.bool_]) -> dict[str, int | float]:
    mass = 1.0 - np.exp(kept.tail_log_mass[known].astype(np.float64))
    return {
        "tokens": int(known.sum()),
        "kept_mass": float(mass.sum()),
        "top1": int((kept.token_log_probs >= kept.topk_log_probs[:, 0])[known].sum()),
    }


def _reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    names = (NOT_GIVEN, OTHER_TOKENS, UNKNOWN_ENTRIES, NO_CHOICE, TOO_FEW)
    told = {name: reasons.get(name, 0) for name in names}
    return {"references": 0, "too_long": 0, "unknown": sum(told.values()), **told}


def _format(config: Config, resources: Resources) -> SoftTargetFormat:
    info = resources.info
    return SoftTargetFormat(
        mode="topk",
        k=config.k,
        vocabulary_size=info.target_vocabulary_size,
        ids_dtype=smallest_ids_dtype(info.target_vocabulary_size),
        vocabulary_digest=info.vocabulary_digest,
        teacher_digest=info.digest,
        pairs=info.pairs,
        compute_type="unknown arithmetic",
        backend="given",
        encoding=config.encoding,
    )
