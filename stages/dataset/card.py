"""The dataset's card: README.md with the front matter that Hugging Face datasets use, and what a user must know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from data import schema
from data.artifact import Artifact
from data.manifest import Manifest, ShardRecord
from data.model_folder import TeacherInfo
from data.parquet import SUFFIX
from data.soft_targets import SoftTargetFormat
from data.teachers import FIRST, soft_targets_node
from stages.dataset import facts
from stages.dataset.facts import Row, markdown_table
from stages.dataset.licences import front_matter_licence, licence_text
from stages.presentation import figures
from stages.presentation.model_card import language_name

TAGS = ("machine-translation", "knowledge-distillation", "sequence-level-distillation", "soft-targets", "synthetic")
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_LARGER_SIZES = ((10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"))


@dataclass(frozen=True)
class Summary:
    """What the stage knows of the dataset that it made. `languages`: rows of each pair, most first."""

    title: str | None
    licence: str | None
    shards: tuple[ShardRecord, ...]
    languages: tuple[tuple[tuple[str, str], int], ...]
    accepted_by_origin: Mapping[str, int]
    target_format: SoftTargetFormat
    # Of the teachers, by name.
    infos: Mapping[str, TeacherInfo]
    # Rows of each kind, and who reads it, where there is any.
    noise: tuple[tuple[str, int], ...] = ()
    noise_read_by: str = ""

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    def counted(self, name: str) -> int:
        """A counter, summed over the shards."""
        return int(sum(shard.counters[name] for shard in self.shards))


def render_card(inputs: Mapping[str, Artifact], summary: Summary) -> str:
    """The card as Markdown; the same inputs give the same card."""
    from jinja2 import Environment, StrictUndefined

    manifests = {node: artifact.manifest() for node, artifact in inputs.items()}
    # Markdown, not HTML: escaping is for the cells of tables, see facts.markdown_table.
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701
    template = resources.files("stages.dataset").joinpath("card.md").read_text(encoding="utf-8")
    return environment.from_string(template).render(_page(manifests, summary))


def front_matter(manifests: Mapping[str, Manifest], summary: Summary) -> dict[str, Any]:
    """Keys of https://huggingface.co/docs/hub/datasets-cards."""
    tags = list(dict.fromkeys(tag for pair, _ in summary.languages for tag in pair))
    codes = list(dict.fromkeys(tag.split("-")[0] for tag in tags))
    exact = {"language_bcp47": tags} if tags != codes else {}
    return {
        "pretty_name": _title(summary),
        "language": codes,
        **exact,
        **front_matter_licence([summary.licence] if summary.licence else _licences(manifests, summary)),
        "task_categories": ["translation"],
        "size_categories": [size_category(summary.rows)],
        "multilinguality": ["translation"],
        "annotations_creators": ["machine-generated"],
        "tags": [tag for tag in TAGS if tag != "soft-targets" or summary.target_format.mode != "none"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": f"train-*{SUFFIX}"}]}],
    }


def size_category(rows: int) -> str:
    """The hub's word for so many rows."""
    return next((name for limit, name in (*_SIZES, *_LARGER_SIZES) if rows < limit), "n>10B")


def _page(manifests: Mapping[str, Manifest], summary: Summary) -> dict[str, Any]:
    import yaml

    sources = ("Source", "Licence", "Read", "Dropped", "Held out", "Rejected", "Rows")
    waterfall = ("Rule", "Passes", "Failed", "Alone", "Left", "Unknown")
    head = yaml.safe_dump(front_matter(manifests, summary), sort_keys=False, allow_unicode=True)
    return {
        "front_matter": head.rstrip("\n"),
        "title": _title(summary),
        "rows": figures.count(summary.rows),
        "teachers": len(summary.infos),
        "given": _given(manifests, summary),
        "source_names": _names(summary, 0),
        "target_names": _names(summary, 1),
        "overview": markdown_table(("What", "How much"), _overview_rows(summary)),
        "format": summary.target_format,
        "vocabulary_size": figures.count(summary.target_format.vocabulary_size),
        "ids_dtype": {"uint16": "<u2", "uint32": "<u4"}[summary.target_format.ids_dtype],
        "counts_dtype": "u1" if summary.target_format.draws < 2**8 else "<u2",
        "high_dtype": {"uint16": "u1", "uint32": "<u2"}[summary.target_format.ids_dtype],
        "first_file": summary.shards[0].name + SUFFIX,
        "kept_mass": _kept_mass(manifests[soft_targets_node(manifests)]),
        "columns": markdown_table(("Column", "Type", "Null", "Meaning"), facts.column_rows(schema.DATASET)),
        "noise": [f"{figures.count(rows)} {kind.replace('_', ' ')}" for kind, rows in summary.noise],
        "noise_read_by": summary.noise_read_by,
        "sources": markdown_table(sources, facts.source_rows(manifests["corpus"], summary.accepted_by_origin)),
        "dropped": facts.dropped_text(manifests["corpus"]),
        "making": markdown_table(("What", "Which"), facts.making_rows(manifests, summary.infos, summary.target_format)),
        "options": facts.options_text(manifests),
        "corpus_warnings": [*facts.warning_texts(manifests["corpus"]), *facts.warning_texts(manifests.get("sides"))],
        "warnings": facts.warning_texts(manifests["filter"]),
        "waterfall": markdown_table(waterfall, facts.waterfall_rows(manifests["filter"])),
        "licence_text": licence_text(summary.licence, _licences(manifests, summary)),
    }


def _title(summary: Summary) -> str:
    return summary.title or f"{_names(summary, 0)} to {_names(summary, 1)}, distilled"


def _names(summary: Summary, side: int) -> str:
    """English names of all languages of a side."""
    return " and ".join(dict.fromkeys(language_name(pair[side]) for pair, _ in summary.languages))


def _given(manifests: Mapping[str, Manifest], summary: Summary) -> str:
    """What translated where no model of the recipe's did, for the first sentence; empty where all are models."""
    if not any(info.is_given for info in summary.infos.values()):
        return ""
    return str(manifests[FIRST].config.get("made_by") or "its teacher")


def _overview_rows(summary: Summary) -> Iterator[Row]:
    yield "Rows", figures.count(summary.rows)
    for (source, target), rows in summary.languages:
        yield f"{source} to {target}", figures.count(rows)
    yield "Rows whose source has no reference", figures.count(summary.counted("monolingual"))
    yield "Target subwords, `</s>` included", figures.count(summary.counted("tokens"))
    size = sum(shard.bytes for shard in summary.shards)
    yield "Parquet files", f"{figures.count(len(summary.shards))}, {figures.size(size)}"


def _licences(manifests: Mapping[str, Manifest], summary: Summary) -> list[str | None]:
    """Of the sources that any row is from."""
    sources = manifests["corpus"].metrics["sources"]
    return [source["licence"] for name, source in sources.items() if summary.accepted_by_origin.get(name)]


def _kept_mass(score: Manifest) -> str:
    """Share of the teacher's probability that the kept entries hold, over all positions; empty when not counted."""
    counters = score.counters
    return figures.share(counters["kept_mass"], counters["tokens"]) if counters.get("tokens") else ""
