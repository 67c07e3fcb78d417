"""A made-up corpus of one size through all stages, each in a process of its own, and what must have come of it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.generator import SHARES, Made, generate
from bench.one_stage import Took
from bench.records import median
from bench.synthetic.registry import SCALE_STAGES, write_recipe
from data.artifact import Artifact
from data.store import Store

# What is measured; the other stages only make what these read.
MEASURED = ("corpus", "select", "filter", "dataset")
STORE = "scale"


@dataclass(frozen=True)
class Size:
    """What one size took, by stage; runs of one stage one after the other."""

    made: Made
    took: Mapping[str, list[Took]]

    def seconds(self, stage: str) -> float:
        """Median of wall-clock seconds."""
        return median([one.seconds for one in self.took[stage]])

    def processor_seconds(self, stage: str) -> float:
        """Median of the worker's processor seconds."""
        return median([one.processor_seconds for one in self.took[stage]])

    def peak(self, stage: str) -> float:
        """Median of the worker's peaks, in bytes."""
        return median([one.worker_peak for one in self.took[stage]])


def run_size(folder: Path, rows: int, repeats: int = 1) -> Size:
    """Makes the corpus and runs all stages, the measured ones `repeats` times.

    What an earlier call left in the folder is not done again, so that hours are not lost with a terminal.
    """
    made = generate(folder / "input", rows)
    recipe = write_recipe(folder / "scale.toml", made)
    took = {}
    for entry in SCALE_STAGES:
        times = repeats if entry.node in MEASURED else 1
        took[entry.node] = [_run(recipe, entry.node, again=number > 0, number=number) for number in range(times)]
    return Size(made, {node: runs for node, runs in took.items() if node in MEASURED})


def _run(recipe: Path, stage: str, *, again: bool, number: int) -> Took:
    note = recipe.parent / f"took-{stage}-{number}.json"
    if not note.exists():
        if again:
            shutil.rmtree(only(recipe.parent, stage).url)
        command = [sys.executable, "-m", "bench.one_stage", str(recipe), stage]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603
        note.write_bytes(found.stdout)
    return Took(**json.loads(note.read_bytes()))


def only(folder: Path, node: str) -> Artifact:
    """The artefact of a node; raises ValueError when there is not exactly one."""
    (artifact,) = Store(str(folder / STORE)).artifacts(node)
    return artifact


def wrong_rows(folder: Path, made: Made) -> dict[str, int]:
    """By how many rows each fact is off, all 0 when the corpus did what it promises; texts are looked at again here."""
    corpus = only(folder, "corpus")
    found = corpus.manifest().metrics
    expected = made.dropped()
    wrong = {f"dropped: {reason}": abs(found["dropped"].get(reason, 0) - rows) for reason, rows in expected.items()}
    wrong["dropped for other reasons"] = sum(
        rows for reason, rows in found["dropped"].items() if reason not in expected
    )
    wrong["kept for training"] = abs(found["splits"]["train"]["rows"] - made.train_rows())
    wrong["kept for the test"] = abs(found["splits"]["test"]["rows"] - made.test_rows)
    wrong["without reference"] = abs(found["splits"]["train"]["monolingual"] - made.of_kind("monolingual"))
    return wrong | _wrong_texts(corpus, made) | _wrong_dataset(folder, made)


def _wrong_texts(corpus: Artifact, made: Made) -> dict[str, int]:
    """Python's own hash of every text in place of the ids; two of 64 bits meet by chance once in a million corpora."""
    test = {_folded(source) for table in corpus.tables("test-") for source in table.column("source").to_pylist()}
    texts, folded, leaked = np.empty(made.train_rows(), np.int64), np.empty(made.train_rows(), np.int64), 0
    count = 0
    for count, source in enumerate(_sources(corpus), start=1):
        key = _folded(source)
        leaked += key in test
        if count <= len(texts):
            texts[count - 1], folded[count - 1] = hash(source), hash(key)
    recased = SHARES["recased"] * made.rows // 100
    return {
        "sources that are not there": abs(count - len(texts)),
        "sources kept twice": len(texts) - len(np.unique(texts)),
        "sources that differ in more than case": abs(len(np.unique(folded)) - (len(folded) - recased)),
        "sources of the test set": leaked,
    }


def _sources(corpus: Artifact) -> Iterator[str]:
    for table in corpus.tables("train-", ["source"]):
        yield from table.column("source").to_pylist()


def _folded(source: str) -> str:
    return " ".join(source.lower().split())


def _wrong_dataset(folder: Path, made: Made) -> dict[str, int]:
    """Every row was judged, and the accepted ones are in the dataset."""
    judged, dataset = only(folder, "filter").manifest(), only(folder, "dataset").manifest()
    return {
        "judged": abs(judged.metrics["rows"] - made.train_rows()),
        "in the dataset": abs(sum(shard.rows for shard in dataset.shards) - judged.metrics["accepted"]),
    }
