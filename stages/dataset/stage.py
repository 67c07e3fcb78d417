"""dataset: the accepted rows of all stages, joined -> Parquet that anybody can read, with a card on it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from data import schema
from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.join import join
from data.local import write_atomically
from data.manifest import ShardRecord
from data.model_folder import VOCABULARY_FILE, TeacherInfo, load_teacher_info, read_vocabulary
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat
from data.teachers import FIRST, nbest_node, soft_targets_node, teacher_nodes
from stages.dataset.card import Summary, render_card
from stages.dataset.hypotheses_export import export_hypotheses
from stages.dataset.sources_export import export_sources
from stages.dataset.text_export import TOKENIZER, export_text

__all__ = ["Config", "export_hypotheses", "export_sources", "export_text", "run"]

VERSION = "2"
INPUTS = ("corpus", "tokenizer", "teacher", "decode", "select", "sides", "score", "measure", "filter")
LIBRARIES: tuple[str, ...] = ()
# The card has licences, options and counts of all of them.
TELLS_OF_INPUTS = True
SPLIT = "train-"
CARD = "README.md"

# What a verdict is judged from alone; all else is read only of shards that are to be written.
_PAIRS = [name for name in schema.PAIRS.names if name != "split"]
# Of the teachers, by name.
Infos = Mapping[str, TeacherInfo]


class Config(BaseModel):
    """What the card says of the dataset as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # One line of plain text: anything else would be a heading, or markup, in the card.
    title: str | None = Field(None, description="name on the card; by default the languages", pattern=r"^[^\r\n<>]+$")
    licence: str | None = Field(
        None, description="licence of the dataset; by default those of its sources", pattern=r"^[^\r\n<>]+$"
    )


@dataclass
class Tally:
    """What became of the corpus's training rows."""

    rows: int = 0
    rejected: int = 0
    by_origin: Counter[str] = field(default_factory=Counter)
    accepted_by_origin: Counter[str] = field(default_factory=Counter)
    accepted_by_languages: Counter[tuple[str, str]] = field(default_factory=Counter)
    # Of accepted rows, by kind.
    noise: Counter[str] = field(default_factory=Counter)

    def add(self, judged: pa.Table) -> int:
        """Counts corpus rows joined with their verdicts; returns how many of them were accepted."""
        accepted = judged.filter(judged.column("accepted"))
        self.rows += judged.num_rows
        self.rejected += pc.sum(pc.greater(pc.list_value_length(judged.column("reasons")), 0)).as_py() or 0
        self.by_origin.update(judged.column("origin").to_pylist())
        self.accepted_by_origin.update(accepted.column("origin").to_pylist())
        languages = (accepted.column(name).to_pylist() for name in ("source_language", "target_language"))
        self.accepted_by_languages.update(zip(*languages, strict=True))
        self.noise.update(kind for kind in accepted.column("noise").to_pylist() if kind)
        return int(accepted.num_rows)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes shards of `schema.DATASET`, named like the corpus's, `README.md`, `vocabulary.json` and `tokenizer/`.

    A shard of which no row was accepted is not written. A killed run goes on at the shard where it stood.
    Raises DataError when counts do not add up, the stages' shards do not belong together or no row was accepted,
    ModelError when the soft targets are another teacher's.
    """
    nodes = teacher_nodes(inputs)
    infos = {name: load_teacher_info(inputs[node].path()) for name, node in nodes.items()}
    tally = Tally()
    records = _shards(inputs, output, infos, tally, runtime)
    _check_counts(inputs, tally, records)
    summary = _summary(config, tally, records, inputs, infos)
    _write_files(inputs, inputs["teacher"].path(), output.work_path())
    write_atomically(output.work_path() / CARD, render_card(inputs, summary).encode())
    return _metrics(inputs, tally, records)


def _shards(
    inputs: Mapping[str, Artifact], output: Artifact, infos: Infos, tally: Tally, runtime: Runtime
) -> list[ShardRecord]:
    names, finished = _shard_names(inputs), output.finished_shards()
    records = []
    for number, name in enumerate(names, start=1):
        judged = join([inputs["corpus"].read_shard(name, _PAIRS), inputs["filter"].read_shard(name)])
        accepted, record = tally.add(judged), finished.get(name)
        if accepted and (record is None or record.rows != accepted):
            table = _joined(inputs, name, judged, infos)
            record = output.write_shard(name, table, _counters(table))
        if accepted and record is not None:
            records.append(record)
        runtime.progress(number, len(names), {"rows": tally.rows})
    return records


def _shard_names(inputs: Mapping[str, Artifact]) -> list[str]:
    names = inputs["corpus"].shard_names(SPLIT)
    for artifact in (*_others(inputs), inputs["filter"]):
        if apart := sorted(set(names) ^ set(artifact.shard_names(SPLIT))):
            raise DataError(
                f"corpus and {artifact.node} differ in the shards {', '.join(apart[:8])}: they do not belong together; "
                f"delete {artifact.url} and run again"
            )
    return names


def _others(inputs: Mapping[str, Artifact]) -> list[Artifact]:
    """Whose columns join those of the corpus; what several teachers made together, where there are several."""
    return [inputs[node] for node in (nbest_node(inputs), "select", soft_targets_node(inputs), "measure")]


def _joined(inputs: Mapping[str, Artifact], name: str, judged: pa.Table, infos: Infos) -> pa.Table:
    """The accepted rows of one shard with all their columns, in the corpus's order."""
    table = join([judged, *(artifact.read_shard(name) for artifact in _others(inputs))])
    _check_teachers(SoftTargetFormat.of(table.schema), infos, name)
    kept = table.filter(table.column("accepted")).select(schema.DATASET.names)
    return kept.cast(schema.DATASET.with_metadata(table.schema.metadata))


def _check_teachers(found: SoftTargetFormat, infos: Infos, shard: str) -> None:
    digests = {one.name: one.digest for one in found.fused} or {FIRST: found.teacher_digest}
    for name, digest in digests.items():
        info = infos.get(name, infos[FIRST])
        if (found.vocabulary_digest, digest) != (info.vocabulary_digest, info.digest):
            raise ModelError(
                f"shard {shard}: the soft targets were made by the teacher {digest} with the vocabulary "
                f"{found.vocabulary_digest}; expected {info.digest} and {info.vocabulary_digest}; run the stage score "
                "again"
            )


def _counters(table: pa.Table) -> dict[str, int | float]:
    return {
        "tokens": pc.sum(table.column("length")).as_py(),
        "monolingual": table.column("reference").null_count,
    }


def _format(inputs: Mapping[str, Artifact]) -> SoftTargetFormat:
    """The one format of all soft targets; raises DataError when there are several."""
    score, found = inputs[soft_targets_node(inputs)], dict[SoftTargetFormat, str]()
    for name in score.shard_names(SPLIT):
        found.setdefault(SoftTargetFormat.of(score.read_shard(name, ["id"]).schema), name)
    if len(found) > 1:
        raise DataError(
            f"soft targets are kept in {len(found)} ways, first seen in the shards {', '.join(found.values())}: all "
            f"must be made with the same options on the same kind of device; delete {score.url} and run again"
        )
    return next(iter(found))


def _check_counts(inputs: Mapping[str, Artifact], tally: Tally, records: Sequence[ShardRecord]) -> None:
    """Every row of the corpus is either in the dataset or was rejected, as the stages before say."""
    written = sum(record.rows for record in records)
    judged = inputs["filter"].manifest().metrics
    sources = inputs["corpus"].manifest().metrics["sources"]
    expected = {
        "rows of the corpus's train split, by source": {
            name: source["kept"]["train"] for name, source in sources.items()
        },
        "accepted and rejected rows": tally.rows,
        "rows that the filter judged": judged["rows"],
        "rows that the filter accepted": judged["accepted"],
    }
    found = {
        "rows of the corpus's train split, by source": {name: tally.by_origin[name] for name in sources},
        "accepted and rejected rows": written + tally.rejected,
        "rows that the filter judged": tally.rows,
        "rows that the filter accepted": written,
    }
    for what, count in expected.items():
        if found[what] != count:
            raise DataError(f"{what}: found {found[what]}, expected {count}; run again from the stage filter on")
    if not written:
        raise DataError(f"the filter accepted none of {tally.rows} rows ({_failures(judged)}); loosen filter.rules")


def _failures(judged: Mapping[str, Any]) -> str:
    steps = sorted(judged.get("waterfall", []), key=lambda step: -step["failed"])
    return ", ".join(f"{step['failed']} failed {step['rule']}" for step in steps[:3])


def _summary(
    config: Config, tally: Tally, records: Sequence[ShardRecord], inputs: Mapping[str, Artifact], infos: Infos
) -> Summary:
    noise = inputs["corpus"].manifest().metrics.get("noise", {})
    return Summary(
        title=config.title,
        licence=config.licence,
        shards=tuple(records),
        languages=tuple(tally.accepted_by_languages.most_common()),
        accepted_by_origin=dict(tally.accepted_by_origin),
        target_format=_format(inputs),
        infos=infos,
        noise=tuple(sorted(tally.noise.items())),
        noise_read_by=noise.get("read_by", ""),
    )


def _write_files(inputs: Mapping[str, Artifact], teacher: Path, folder: Path) -> None:
    """What is needed to read tokens and ids: the vocabularies and the tokenizer."""
    vocabulary = {side: read_vocabulary(teacher, side) for side in ("source", "target")}
    write_atomically(folder / VOCABULARY_FILE, json.dumps(vocabulary, ensure_ascii=False, indent=0).encode())
    tokenizer = inputs["tokenizer"]
    place = tokenizer.path()
    for record in tokenizer.manifest().files:
        write_atomically(folder / TOKENIZER / record.name, (place / record.name).read_bytes())


def _metrics(inputs: Mapping[str, Artifact], tally: Tally, records: Sequence[ShardRecord]) -> dict[str, Any]:
    rows = sum(record.rows for record in records)
    noise = inputs["corpus"].manifest().metrics.get("noise")
    told = {"noise": {"read_by": noise["read_by"], "rows": dict(sorted(tally.noise.items()))}} if noise else {}
    return {
        **told,
        "rows": rows,
        "rejected": tally.rejected,
        "bytes": sum(record.bytes for record in records),
        "sources": {
            name: {"rows": tally.accepted_by_origin[name], "rejected": count - tally.accepted_by_origin[name]}
            for name, count in sorted(tally.by_origin.items())
        },
        "languages": [
            {"source": source, "target": target, "rows": count}
            for (source, target), count in tally.accepted_by_languages.most_common()
        ],
    }
