"""calibrate: how large decode's batches are, found by trying, once a run, on the real model and real sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.artifact import Artifact
from data.runtime import Runtime
from stages.decoding.calibration import USUAL, Calibration, Trial, compare, write_calibration
from stages.decoding.config import Config
from stages.decoding.search import Search
from stages.teacher_model import load_teacher
from stages.tokenizer import load_tokenizer

__all__ = ["Config", "run"]

VERSION = "1"
INPUTS = ("corpus", "teacher", "tokenizer")
LIBRARIES = ("ctranslate2", "sentencepiece")

SECONDS = 6.0
# Of the first shard, which is a random sample of the corpus.
_MOST_ROWS = 20_000


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `calibration.json`; returns what was measured. A size in the config is taken as it is.

    On a CPU as many batches are searched at a time as decode will have processes, each on one thread: cores share
    caches and memory. The choice is kept with the run, so a shard that is made later, or again, has the same batches
    and the same bytes. Other batches change scores by rounding, and a hypothesis where two are next to equal: no
    more than that lies between the datasets of machines that choose differently.
    """
    if config.max_batch_tokens:
        write_calibration(output.work_path(), Calibration(max_batch_tokens=config.max_batch_tokens))
        return {"max_batch_tokens": config.max_batch_tokens, "measured": False}
    chosen, metrics = _measured(inputs, config, runtime)
    write_calibration(output.work_path(), Calibration(max_batch_tokens=chosen))
    return {"max_batch_tokens": chosen, "measured": True, **metrics}


def _measured(inputs: Mapping[str, Artifact], config: Config, runtime: Runtime) -> tuple[int, dict[str, Any]]:
    teacher = load_teacher(inputs["teacher"].path(), runtime, spread=True)
    device, replicas = teacher.translator.device, teacher.translator.num_translators
    trial = Trial(_sources(inputs), Search(teacher, config), replicas)
    candidates = trial.candidates(device)
    if not candidates:
        return USUAL[device], {"rows_per_second": {}, "device": device, "replicas": replicas}
    trial.warm_up()
    costs = compare(candidates, trial.cost, SECONDS)
    rates = {str(tokens): round(1 / cost, 1) for tokens, cost in costs.items()}
    chosen = min(costs, key=lambda tokens: costs[tokens]) if costs else candidates[0]
    return chosen, {"rows_per_second": rates, "device": device, "replicas": replicas}


def _sources(inputs: Mapping[str, Artifact]) -> Sequence[Sequence[str]]:
    corpus = inputs["corpus"]
    names = corpus.shard_names("train-")
    if not names:
        return []
    texts = corpus.read_shard(names[0], ["source"]).column("source").slice(0, _MOST_ROWS)
    return load_tokenizer(inputs["tokenizer"].path()).encode_source(texts.to_pylist())
