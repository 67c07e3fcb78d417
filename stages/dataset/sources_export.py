"""All sources of a corpus as a table of text, for whoever translates them elsewhere."""

from pathlib import Path

from data.artifact import Artifact
from data.local import atomic, storage_faults
from stages.languages.directions import COLUMNS as LANGUAGES

FILE = "sources.tsv"
HEAD = ("id", "split", *LANGUAGES, "source")
SPLITS = ("train", "valid", "test")


def export_sources(corpus: Artifact, folder: Path) -> dict[str, int]:
    """Writes sources.tsv: a line for each row of the corpus, split after split; returns how many there are.

    With a column `target` more it is a file for a teacher of kind = "given". Space in texts is folded, as tabs and line
    ends have no other place there. Raises PotstillError when the folder cannot be written to.
    """
    count = 0
    with storage_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / FILE) as path, path.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\t".join(HEAD) + "\n")
            for split in SPLITS:
                for table in corpus.tables(f"{split}-", HEAD):
                    for row in table.to_pylist():
                        file.write("\t".join(" ".join(str(row[name]).split()) for name in HEAD) + "\n")
                    count += table.num_rows
    return {"sources": count}
