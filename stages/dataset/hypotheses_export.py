"""All hypotheses as a table of text, for whoever scores them: people, a model of quality, a model of the way back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.artifact import Artifact
from data.errors import DataError
from data.local import atomic, storage_faults
from stages.languages.directions import COLUMNS as LANGUAGES

FILE = "hypotheses.tsv"
HEAD = ("id", "rank", *LANGUAGES, "source", "target")


def export_hypotheses(corpus: Artifact, nbest: Artifact, folder: Path) -> dict[str, int]:
    """Writes hypotheses.tsv: a line for each hypothesis, its place in the n-best from 0; returns how many there are.

    With a column of numbers more it is a file for [[measure.columns]]. Space in texts is folded, as
    tabs and line ends have no other place there; the join folds it as well. What was not translated is left out. Raises
    DataError where corpus and n-best lists are not of one run, PotstillError when the folder cannot be written to.
    """
    count = 0
    with storage_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / FILE) as path, path.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\t".join(HEAD) + "\n")
            for shard in nbest.shard_names():
                for line in _lines(corpus, nbest, shard):
                    file.write("\t".join(line) + "\n")
                    count += 1
    return {"hypotheses": count}


def _lines(corpus: Artifact, nbest: Artifact, shard: str) -> Iterator[list[str]]:
    rows = corpus.read_shard(shard, ["id", "source", *LANGUAGES]).to_pylist()
    lists = nbest.read_shard(shard, ["id", "hypotheses"]).to_pylist()
    if [row["id"] for row in rows] != [row["id"] for row in lists]:
        raise DataError(f"shard {shard}: the n-best lists are of other rows than the corpus; run again")
    for row, found in zip(rows, lists, strict=True):
        for rank, hypothesis in enumerate(found["hypotheses"]):
            if hypothesis["text"]:
                texts: dict[str, Any] = {**row, "rank": rank, "target": hypothesis["text"]}
                yield [" ".join(str(texts[name]).split()) for name in HEAD]
