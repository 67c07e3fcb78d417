"""Parallel texts that are known to be right, what a teacher makes of them, and the stage on them."""

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.sides import stage as sides
from tests.fixtures.artifacts import artifact_of_tables
from tests.fixtures.corpora import make_corpus

WHO = {"The neighbour": "Der Nachbar", "My sister": "Meine Schwester", "The old teacher": "Der alte Lehrer",
       "A stranger": "Ein Fremder", "The gardener": "Der Gärtner", "Our doctor": "Unser Arzt"}  # fmt: skip
DOES = {"has bought": "hat {} gekauft", "has forgotten": "hat {} vergessen", "has repaired": "hat {} repariert",
        "has painted": "hat {} gestrichen", "is looking for": "sucht {}", "has sold": "hat {} verkauft"}  # fmt: skip
WHAT = {"the bicycle": "das Fahrrad", "a green door": "eine grüne Tür", "the kitchen window": "das Küchenfenster",
        "two wooden chairs": "zwei Holzstühle", "the ladder": "die lange Leiter", "a boat": "ein Boot"}  # fmt: skip
WHEN = {"yesterday evening": "gestern Abend", "before the holidays": "vor den Ferien", "in the spring": "im Frühling",
        "after the storm": "nach dem Sturm", "on his birthday": "an seinem Geburtstag"}  # fmt: skip
Pairs = list[tuple[str, str]]
Sides = tuple[Sequence[str], Sequence[str]]


def pairs(count: int) -> Pairs:
    """Different sentences with their translations, in no order."""
    parts = itertools.product(WHO.items(), DOES.items(), WHAT.items(), WHEN.items())
    made = [
        (f"{who[0]} {does[0]} {what[0]} {when[0]}.", f"{when[1]}: {who[1]} {does[1].format(what[1])}.")
        for who, does, what, when in parts
    ]
    random.Random(3).shuffle(made)  # noqa: S311
    assert count <= len(made)
    return made[:count]


def translated(text: str, known: dict[str, str]) -> str:
    """What a teacher makes of a source: the right translation with a word gone; other texts as they are."""
    words = known.get(text, text).split()
    return " ".join(words[:2] + words[3:])


def two_files(folder: Path, name: str, both: Sides) -> dict[str, Any]:
    """A source of two text files."""
    for suffix, lines in zip(("en", "de"), both, strict=True):
        (folder / f"{name}.{suffix}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {
        "kind": "text",
        "name": name,
        "source_file": str(folder / f"{name}.en"),
        "target_file": str(folder / f"{name}.de"),
    }


def looked_at(
    folder: Path, *sources: dict[str, Any], translate: Callable[[str], str] | None = None, **options: Any
) -> dict[str, Any]:
    """The stage's metrics for a corpus of these sources."""
    known = dict(pairs(len(WHO) * len(DOES) * len(WHAT) * len(WHEN)))
    corpus = make_corpus(folder, *sources, **options).artifact
    nbest = decoded(folder, corpus, translate or (lambda text: translated(text, known)))
    return sides.run({"corpus": corpus, "decode": nbest}, sides.Config(), folder, Runtime())  # type: ignore[arg-type]


def decoded(folder: Path, corpus: Artifact, translate: Callable[[str], str]) -> Artifact:
    """What decode would leave: the translation first, and behind it one that a choice by reference might prefer."""
    tables = {}
    for name in corpus.shard_names("train-"):
        rows = corpus.read_shard(name).to_pylist()
        texts = [(translate(row["source"]), row["reference"] or "") for row in rows]
        lists = [[{"tokens": [], "text": text, "score": 0.0, "teacher": "teacher"} for text in both] for both in texts]
        columns = {"id": [row["id"] for row in rows], "hypotheses": lists}
        tables[name] = pa.Table.from_pydict(columns, schema=schema.NBEST)
    return artifact_of_tables(folder, "decode", tables)
