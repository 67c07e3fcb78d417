"""Tables of the card, out of the manifests of all stages that had a part in the dataset."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.manifest import Manifest
from data.model_folder import TeacherInfo
from data.soft_targets import SoftTargetFormat
from data.teachers import FIRST, given_nodes, node_of
from stages.presentation import figures

Row = Sequence[str]
Manifests = Mapping[str, Manifest]
_OPTIONS = ("decode", "select", "score", "measure")


def markdown_table(header: Row, rows: Iterable[Row]) -> str:
    """A table whose cells cannot break it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def column_rows(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[Row]:
    """Name, type, whether it may be null, and the comment of each column and of each part of one."""
    for field in fields:
        name = f"{prefix}{field.name}"
        yield f"`{name}`", _type_name(field.type), "yes" if field.nullable else "", field.metadata[b"comment"].decode()
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        if pa.types.is_struct(kind):
            yield from column_rows(kind, f"{name}[]." if kind is not field.type else f"{name}.")


def source_rows(corpus: Manifest, accepted: Mapping[str, int]) -> Iterator[Row]:
    """A source a row; read = dropped + held out + rejected + rows, and a last row with the sums."""
    sums = [0] * 5
    for name, source in corpus.metrics["sources"].items():
        train, rows = source["kept"]["train"], accepted.get(name, 0)
        held_out = sum(source["kept"].values()) - train
        counts = [source["read"], sum(source["dropped"].values()), held_out, train - rows, rows]
        sums = [before + count for before, count in zip(sums, counts, strict=True)]
        title = f"[{name}]({source['homepage']})" if source["homepage"] else name
        yield title, source["licence"] or "not known", *map(figures.count, counts)
    yield "all", "", *map(figures.count, sums)


def dropped_text(corpus: Manifest) -> str:
    """Why rows were dropped, most first."""
    reasons = sorted(corpus.metrics["dropped"].items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{figures.count(count)} {reason}" for reason, count in reasons)


def making_rows(
    manifests: Manifests, infos: Mapping[str, TeacherInfo], target_format: SoftTargetFormat
) -> Iterator[Row]:
    """Which models and libraries made it."""
    tokenizer, select = manifests["tokenizer"], manifests["select"]
    for name, info in infos.items():
        yield from _teacher_rows(
            "Teacher" if name == FIRST else f"Teacher {name}", manifests[node_of(FIRST, name)], info
        )
    yield from given_rows(manifests)
    if target_format.fused:
        yield "Soft targets", f"mean of {', '.join(f'{one.name} ({one.weight:g})' for one in target_format.fused)}"
    yield "Tokenizer", f"kind {tokenizer.metrics['kind']}, `{tokenizer.metrics['digest']}`"
    if chosen := list(_chosen(select)):
        yield "Selected", "; ".join(chosen)
    libraries = {name: version for manifest in manifests.values() for name, version in manifest.libraries.items()}
    yield "Libraries", ", ".join(f"{name} {libraries[name]}" for name in sorted(libraries, key=str.casefold))


def given_rows(manifests: Manifests) -> Iterator[Row]:
    """How much of the corpus each file of given translations has, and how much of it is of no row."""
    for name, node in given_nodes(manifests).items():
        found = manifests[node].metrics
        train = found["splits"].get("train", {"rows": 0, "translated": 0})
        counts = (train["translated"], train["rows"], found["records"], found["unmatched"])
        told = "{} of {} training rows translated; {} records, {} of no row of the corpus".format(
            *map(figures.count, counts)
        )
        yield f"Translations of {name}" if name != FIRST else "Translations", told


def _teacher_rows(title: str, teacher: Manifest, info: TeacherInfo) -> Iterator[Row]:
    if info.is_given:
        yield title, f"{teacher_name(teacher)}{f', for {chr(44).join(info.pairs)}' if info.pairs else ''}"
        return
    size = f"{figures.parameters(info.parameters)} parameters"
    pairs = f", for {', '.join(info.pairs)}" if info.pairs else ""
    yield title, f"{teacher_name(teacher)}, {size}, {info.quantization}{_kind(info)}{pairs}"
    yield f"{title}'s digest", f"`{info.digest}`"
    entries = figures.count(info.target_vocabulary_size)
    yield "Its target vocabulary", f"{entries} entries, `{info.vocabulary_digest}`"


def _kind(info: TeacherInfo) -> str:
    """What a reader would not expect of a teacher of translation."""
    return ", a decoder-only language model" if info.architecture == "decoder-only" else ""


def teacher_name(teacher: Manifest) -> str:
    """What it is called; of a path only the last part, for the rest is about somebody's machine."""
    kind, path, revision = (teacher.config.get(key) for key in ("kind", "path", "revision"))
    if kind == "given" and path:
        file = Path(path).name
        return f"{teacher.config['made_by']} (given, {file})" if teacher.config.get("made_by") else f"{file} (given)"
    if kind == "train" or path is None:
        return "trained for this dataset"
    on_hub = kind == "transformers" and path.count("/") <= 1 and path[0] not in "./~" and not Path(path).exists()
    name = path if on_hub else Path(path).resolve().name
    return f"{name} ({kind}{f', revision {revision}' if revision else ''})"


def options_text(manifests: Manifests) -> str:
    """The options of the stages that made the rows, as a recipe has them."""
    return "\n\n".join(
        "\n".join([f"[{node}]", *_option_lines(manifests[node].config)]) for node in _OPTIONS if manifests[node].config
    )


def waterfall_rows(judged: Manifest) -> Iterator[Row]:
    """All rows, and what each rule did to them."""
    total = judged.metrics["rows"]
    yield "all rows", "", "", "", figures.count(total), ""
    for step in judged.metrics["waterfall"]:
        counts = (figures.count(step[key]) for key in ("failed", "failed_alone", "left", "unknown"))
        yield f"`{step['rule']}`", figures.bounds(step["min"], step["max"]), *counts


def warning_texts(manifest: Manifest | None) -> list[str]:
    """All warnings of a stage; none where the stage is not there."""
    return [] if manifest is None else [warning_text(warning) for warning in manifest.metrics.get("warnings", ())]


def warning_text(warning: str) -> str:
    """A warning of a stage, its examples as code, which hides nothing and means nothing."""
    head, *examples = warning.split("\n")
    return "\n".join([_cell(head), *([""] if examples else []), *(f"    {example.strip()}" for example in examples)])


def _chosen(select: Manifest) -> Iterator[str]:
    """How many rows each metric chose a hypothesis for, and whose it was."""
    counters = select.counters
    for key in sorted(key for key in counters if key.startswith("by_")):
        yield f"{figures.count(counters[key])} rows by {key.removeprefix('by_')}"
    total = sum(shard.rows for shard in select.shards)
    teachers = sorted(key for key in counters if key.startswith("of_"))
    if len(teachers) > 1:
        for key in teachers:
            yield f"a hypothesis of {key.removeprefix('of_')} for {figures.share(counters[key], total)}"
    elif "first" in counters and total:
        yield f"the teacher's own first hypothesis for {figures.share(counters['first'], total)}"


def _option_lines(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if value is not None and not isinstance(value, dict):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type_name(kind.value_type)}"
    return "struct" if pa.types.is_struct(kind) else str(kind)


def _cell(value: str) -> str:
    """On one line; nothing in it ends the cell or is taken for HTML, as </s> would be."""
    plain = " ".join(value.split()).replace("|", "\\|")
    return re.sub("(`[^`]*`)|<", lambda found: found[1] or "&lt;", plain)
