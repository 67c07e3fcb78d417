"""calibrate: how large decode's batches are, found by trying, once a run, on the real model and real sentences."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError
from data.local import write_atomically
from data.runtime import Runtime
from stages.beam_search.calibration import USUAL, Calibration, Trial, compare, write_calibration
from stages.beam_search.config import Config
from stages.beam_search.search import open_search
from stages.beam_search.shortlist import FILE as SHORTLIST
from stages.beam_search.shortlist import learn_shortlist
from stages.languages.directions import some_direction
from stages.loaded_model.model import TargetVocabulary, load_teacher
from stages.text.tokenizer import load_tokenizer

__all__ = ["Config", "run"]

VERSION = "3"
INPUTS = ("corpus", "teacher", "tokenizer")
LIBRARIES = ("ctranslate2", "sentencepiece")

SECONDS = 24.0
# Of the first shard, which is a random sample of the corpus.
_MOST_ROWS = 20_000


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Splits and columns of the corpus: what else changes in it costs no new choice, and so no new decode."""
    return {"corpus": {"train": ("source", "reference") if config.shortlist else ("source",)}}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `calibration.json`, and a shortlist's `vmap.txt`; returns what was measured.

    A size in the config is taken as it is. On a CPU as many batches are searched at a time as decode will have
    processes, each on one thread: cores share caches and memory. The choice is kept with the run, so a shard that is
    made later, or again, has the same batches and the same bytes. Other batches change scores by rounding, and a
    hypothesis where two are next to equal: no more than that lies between the datasets of machines that choose
    differently (but a shortlist holds the candidates of a whole batch, so there it may be more). Raises DataError when
    a shortlist is to be learned and no row has a reference.
    """
    folder = output.work_path()
    shortlist = _learn_shortlist(inputs, config, folder / SHORTLIST) if config.shortlist else None
    if config.max_batch_tokens:
        chosen, metrics = config.max_batch_tokens, {"measured": False}
    else:
        chosen, metrics = _measured(inputs, config, shortlist, runtime)
    write_calibration(folder, Calibration(max_batch_tokens=chosen))
    return {"max_batch_tokens": chosen, **metrics}


def _measured(
    inputs: Mapping[str, Artifact], config: Config, shortlist: Path | None, runtime: Runtime
) -> tuple[int, dict[str, Any]]:
    teacher = load_teacher(inputs["teacher"].path(), runtime, spread=True, shortlist=shortlist)
    device, replicas = teacher.engine.device, teacher.engine.replicas
    # What sentences cost hardly hangs on their direction: all are tried in one.
    asked = teacher.toward(some_direction(teacher.info))
    search = open_search(asked, load_tokenizer(inputs["tokenizer"].path()), config)
    trial = Trial(search.encode(_sources(inputs)), search, replicas)
    candidates = trial.candidates(device)
    costs: dict[int, float] = {}
    if candidates:
        trial.warm_up()
        costs = compare(candidates, trial.cost, SECONDS)
    # Without rows there is nothing to measure; where memory was too small for all of them, decode halves the smallest.
    chosen = min(costs, key=lambda tokens: costs[tokens]) if costs else (candidates or [USUAL[device]])[0]
    rates = {str(tokens): round(1 / cost, 1) for tokens, cost in costs.items()}
    return chosen, {"measured": True, "rows_per_second": rates, "device": device, "replicas": replicas}


def _learn_shortlist(inputs: Mapping[str, Artifact], config: Config, path: Path) -> Path:
    tokens = TargetVocabulary.read(inputs["teacher"].path()).tokens
    content = learn_shortlist(_pairs(inputs), tokens, config.shortlist)
    write_atomically(path, content.encode())
    return path


def _pairs(inputs: Mapping[str, Artifact]) -> Iterator[tuple[list[str], list[str]]]:
    """Subwords of the train split's rows that have a reference; raises DataError when there is none."""
    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    found = False
    for table in inputs["corpus"].tables("train-", ["source", "reference"]):
        parallel = table.filter(pc.is_valid(table["reference"]))
        found |= parallel.num_rows > 0
        sources = tokenizer.encode_source(parallel["source"].to_pylist())
        yield from zip(sources, tokenizer.encode_target(parallel["reference"].to_pylist()), strict=True)
    if not found:
        raise DataError("decode.shortlist is learned from references, and no row of the corpus has one; set it to 0")


def _sources(inputs: Mapping[str, Artifact]) -> Sequence[str]:
    corpus = inputs["corpus"]
    names = corpus.shard_names("train-")
    if not names:
        return []
    texts: list[str] = corpus.read_shard(names[0], ["source"]).column("source").slice(0, _MOST_ROWS).to_pylist()
    return texts
