"""Rows as the student reads them, where noise is for it alone: the noisy source, and the target that goes with it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from stages.noise.rows import followed

# What is read beside source and target.
COLUMNS = ("noise", "student_source", "source_language", "target_language")
# Whether a row's target is another one than the dataset's, so that soft targets are of other tokens.
REWRITTEN = "rewritten"


class Subwords(Protocol):
    """What is needed of a tokenizer, where targets are lists of tokens."""

    def encode_target(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each target."""

    def decode_target(self, tokens: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of them."""


def read_by(artifact: Artifact) -> str:
    """Who reads the noise of a corpus or dataset; empty where it has none."""
    noise: Mapping[str, str] = artifact.manifest().metrics.get("noise", {})
    return noise.get("read_by", "")


def is_for_student(artifact: Artifact) -> bool:
    """Whether rows of a corpus or dataset have noise that the student alone reads."""
    return read_by(artifact) == "student"


def with_noise_columns(columns: Sequence[str], artifact: Artifact) -> tuple[str, ...]:
    """Columns of an artefact's rows, and those that noise needs."""
    return tuple(dict.fromkeys((*columns, *COLUMNS))) if is_for_student(artifact) else tuple(columns)


def as_student_reads(table: pa.Table, target: str, tokenizer: Subwords, known: Collection[str]) -> pa.Table:
    """The table with `source` and the column `target`, of texts or lists of tokens, as they are learned; and REWRITTEN.

    A target is written anew in the case of its noisy source, and without a last mark that the source lost. A row stays
    clean where that needs a token that is not among the `known` ones.
    """
    noisy = pc.indices_nonzero(pc.is_valid(table["student_source"])).to_pylist()
    rewritten = [False] * table.num_rows
    if noisy:
        sources, targets = table["source"].to_pylist(), table[target].to_pylist()
        as_tokens = pa.types.is_list(table.schema.field(target).type)
        own = [targets[place] for place in noisy]
        texts = tokenizer.decode_target(own) if as_tokens else own
        rows = table.take(pa.array(noisy)).select(COLUMNS).to_pylist()
        new = [_followed(text, row, sources[place]) for text, row, place in zip(texts, rows, noisy, strict=True)]
        changed = [number for number, (text, found) in enumerate(zip(texts, new, strict=True)) if text != found]
        tokens = dict(zip(changed, tokenizer.encode_target([str(new[number]) for number in changed]), strict=True))
        for number, (place, row) in enumerate(zip(noisy, rows, strict=True)):
            if not all(token in known for token in tokens.get(number, ())):
                continue
            sources[place], rewritten[place] = row["student_source"], number in tokens
            if rewritten[place]:
                targets[place] = tokens[number] if as_tokens else new[number]
        table = _with(_with(table, "source", sources), target, targets)
    return table.append_column(REWRITTEN, pa.array(rewritten, pa.bool_()))


def noisy_pairs(table: pa.Table) -> list[tuple[str, str | None]]:
    """Source and reference as the student reads them, of the rows that have noise for it alone."""
    table = table.filter(pc.is_valid(table["student_source"]))
    columns = (table[name].to_pylist() for name in ("source", "reference"))
    rows = table.select(COLUMNS).to_pylist()
    return [
        (row["student_source"], _followed(reference, row, source))
        for row, source, reference in zip(rows, *columns, strict=True)
    ]


def _followed(text: str | None, row: Mapping[str, Any], source: str) -> str | None:
    return text and followed(text, row["noise"], row["target_language"], source, row["student_source"])


def _with(table: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
