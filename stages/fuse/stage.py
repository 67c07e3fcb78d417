"""fuse: the soft targets of several teachers as one teacher's, see stages/fuse/fusion.py."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from data import schema
from data.artifact import Artifact
from data.errors import ModelError
from data.fingerprint import mapping_digest
from data.join import part
from data.model_folder import TeacherInfo, load_teacher_info
from data.runtime import Runtime
from data.soft_targets import (
    SILENT,
    Conditioning,
    FusedTeacher,
    SoftTargetFormat,
    flat,
    is_known,
    pack,
    row_lengths,
    smallest_ids_dtype,
    topk,
)
from data.teachers import node_of, section_of
from stages.fuse.fusion import Fused, Opinion, even_entropy, fuse, opinion
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import is_for

VERSION = "3"
LIBRARIES: tuple[str, ...] = ()
SCHEMA = schema.SOFT_TARGETS

_SOFT = tuple(name for name in SCHEMA.names if name != "id")


class Options(BaseModel):
    """How the soft targets of several teachers become one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="weight of each teacher by name, `teacher` for that of [teacher]; 1 where none is given",
    )
    k: int = Field(
        0, description="K: entries kept at every position; 0 keeps all that the teachers of a row kept", ge=0
    )


class Config(Options):
    """The same, and whose soft targets they are; the recipe's teachers fill that in."""

    teachers: tuple[str, ...] = Field(description="names of the teachers, in the recipe's order", min_length=2)

    def weight(self, teacher: str) -> float:
        """What this teacher counts."""
        return self.weights.get(teacher, 1.0)


@dataclass(frozen=True)
class Resources:
    """What is known of each teacher, by name."""

    infos: Mapping[str, TeacherInfo]

    @property
    def vocabulary_size(self) -> int:
        """V, which they share."""
        return next(iter(self.infos.values())).target_vocabulary_size


def reads(config: Config) -> dict[str, tuple[str, ...]]:
    """The languages of each row, and every teacher's soft targets."""
    return {"corpus": LANGUAGES, **{node_of("score", teacher): _SOFT for teacher in config.teachers}}


def resources(config: Config) -> tuple[str, ...]:
    """The teachers themselves: which vocabulary they have, and which languages they translate."""
    return tuple(node_of("teacher", teacher) for teacher in config.teachers)


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Raises ModelError when the teachers' vocabularies differ."""
    infos = {name: load_teacher_info(artifacts[node_of("teacher", name)].path()) for name in config.teachers}
    first, *others = infos.items()
    for name, info in others:
        if info.vocabulary_digest != first[1].vocabulary_digest:
            raise ModelError(
                f"{_named(name, info)}, and {_named(*first)}: equal ids mean other tokens, so their soft targets "
                f"cannot be fused; set teachers.{name}.soft_targets = false, and it gives hypotheses alone, which are "
                "compared as texts"
            )
    return Resources(infos)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """SOFT_TARGETS for the tables of all teachers, side by side: the weighted mean of those that translate the row.

    Where that is one teacher alone, the soft targets are its own; where it is none, all count as they do elsewhere. A
    teacher that has too few positions for a row has no say in it; where that leaves none, nothing was forced.
    """
    tables = {teacher: part(table, node_of("score", teacher)) for teacher in config.teachers}
    corpus = part(table, "corpus")
    lengths = row_lengths(tables[config.teachers[0]])
    forced = [tables[teacher].column("conditioning").to_pylist() for teacher in config.teachers]
    heard = [
        is_for(resources.infos[teacher], corpus) & _is_forced(found)
        for teacher, found in zip(config.teachers, forced, strict=True)
    ]
    opinions = [
        _opinion(tables[teacher], config.weight(teacher) * rows)
        for teacher, rows in zip(config.teachers, heard, strict=True)
    ]
    formats = {teacher: SoftTargetFormat.of(tables[teacher].schema) for teacher in config.teachers}
    target_format = _format(formats, config, resources)
    conditioning = _conditioning(forced, np.any(heard, axis=0))
    fused = fuse(opinions, resources.vocabulary_size, target_format.k)
    result = pack(
        row_ids=table.column("id").to_pylist(),
        lengths=lengths.tolist(),
        conditioning=conditioning,
        topk_ids=fused.topk_ids,
        topk_log_probs=fused.topk_log_probs,
        tail_log_mass=fused.tail_log_mass,
        token_log_probs=fused.token_log_probs,
        entropy=fused.entropy,
        target_format=target_format,
    )
    rows = {"references": conditioning.count("reference"), "too_long": conditioning.count("none")}
    sums = _sums(fused, np.repeat(_is_forced(conditioning), lengths))
    notes = {schema.NOTES_KEY: json.dumps(sums | rows).encode()}
    return result.replace_schema_metadata({**result.schema.metadata, **notes})


def count(table: pa.Table) -> dict[str, int | float]:
    """What score counts, of the mean."""
    notes: dict[str, int | float] = json.loads(table.schema.metadata[schema.NOTES_KEY])
    return notes


def _is_forced(conditioning: Sequence[Conditioning]) -> npt.NDArray[np.bool_]:
    return np.array([one not in SILENT for one in conditioning], dtype=bool)


def _conditioning(forced: Sequence[Sequence[Conditioning]], is_heard: npt.NDArray[np.bool_]) -> list[Conditioning]:
    """Of each row what all teachers say but those that had no positions for it, or told nothing; that where nobody else
    is for it."""
    return [
        next(one for one in found if one not in SILENT)
        if heard or not set(SILENT) & set(found)
        else next(one for one in SILENT if one in found)
        for found, heard in zip(zip(*forced, strict=True), is_heard, strict=True)
    ]


def _sums(fused: Fused, forced: npt.NDArray[np.bool_]) -> dict[str, int | float]:
    """Over the positions that were `forced` on some teacher, [N]."""
    return {
        "tokens": int(forced.sum()),
        "kept_mass": float((1.0 - np.exp(fused.tail_log_mass[forced])).sum()),
        "entropy": float(fused.entropy[forced].sum()),
        # Equal but for rounding: teachers keep the token apart from the entries.
        "top1": int((fused.token_log_probs >= fused.topk_log_probs[:, 0] - 1e-3)[forced].sum()),
    }


def _opinion(soft_targets: pa.Table, weights: npt.NDArray[np.floating[Any]]) -> Opinion:
    """Of one teacher; `weights` [rows]."""
    kept, size = topk(soft_targets), SoftTargetFormat.of(soft_targets.schema).vocabulary_size
    entropy = flat(soft_targets, "entropy") if is_known(soft_targets, "entropy") else even_entropy(*kept[1:], size)
    known = (flat(soft_targets, "token_log_probs"), entropy)
    return opinion(*kept, known, np.repeat(weights, row_lengths(soft_targets)))


def _format(formats: Mapping[str, SoftTargetFormat], config: Config, resources: Resources) -> SoftTargetFormat:
    members = tuple(
        FusedTeacher(name=name, digest=each.teacher_digest, weight=config.weight(name))
        for name, each in formats.items()
    )
    most = min(_most_entries(formats, resources.infos), resources.vocabulary_size)
    return next(iter(formats.values())).model_copy(
        update={
            "k": min(config.k or most, most),
            "ids_dtype": smallest_ids_dtype(resources.vocabulary_size),
            "teacher_digest": mapping_digest({one.name: f"{one.digest} {one.weight}" for one in members}),
            "compute_type": " and ".join(dict.fromkeys(each.compute_type for each in formats.values())),
            "backend": " and ".join(dict.fromkeys(each.backend for each in formats.values())),
            "fused": members,
            "pairs": _pairs(resources.infos.values()),
        }
    )


def _pairs(infos: Iterable[TeacherInfo]) -> tuple[str, ...]:
    """Those that some teacher is for; none, which means all, where one is for all."""
    found = [info.pairs for info in infos]
    return tuple(sorted({pair for pairs in found for pair in pairs})) if all(found) else ()


def _most_entries(formats: Mapping[str, SoftTargetFormat], infos: Mapping[str, TeacherInfo]) -> int:
    """The entries that all teachers of a row kept between them, in the languages that have the most."""
    pairs = {pair for info in infos.values() for pair in info.pairs} | {""}
    return max(sum(each.k for name, each in formats.items() if infos[name].translates(pair)) for pair in pairs)


def _named(teacher: str, info: TeacherInfo) -> str:
    return (
        f"{section_of(teacher)} has a target vocabulary of {info.target_vocabulary_size} entries with the digest "
        f"{info.vocabulary_digest}"
    )
