"""scorer: what computes the soft targets, found by trying, once a run, on the real model and real hypotheses.

A node of its own before `score`, whose options it has. It reads no more than score does: nothing makes it choose anew
that does not make score compute anew.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.join import join
from data.model_folder import TeacherInfo, load_teacher_info
from data.runtime import Runtime
from stages.languages.directions import is_for
from stages.loaded_model.model import device_of
from stages.score import stage as score
from stages.score.backend import Way, best, compare, ways_for, write_way
from stages.score.stage import Config

__all__ = ["Config", "run"]

VERSION = "1"
Numbers = npt.NDArray[np.int64]
INPUTS = (*score.READS, "teacher", "tokenizer")
LIBRARIES = score.LIBRARIES

SECONDS = 6.0
_WARM_UP_ROWS = 4


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Splits and columns: what score reads."""
    return {name: {"train": ("id", *columns)} for name, columns in score.READS.items()}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `scorer.json`; returns what was measured.

    Nothing is measured where there is but one way: the recipe names one, the teacher has no PyTorch checkpoint or is
    decoder-only, or it runs on a GPU. Ways differ by rounding (int8, bfloat16), so the choice is kept with the run: all
    workers, and shards that are made later, or again, on whatever machine, have the same.
    """
    folder = inputs["teacher"].path()
    info = load_teacher_info(folder)
    ways = ways_for(config.asked(), folder, info, device_of(info, runtime))
    costs: dict[Way, float] = {}
    if len(ways) > 1 and (table := _rows(inputs, info)) is not None:
        # As a process of the run does it: a shard on a thread.
        costs = measured(table, config, {way: score.open_resources(config, inputs, Runtime(), way) for way in ways})
    chosen = best(ways, costs)
    write_way(output.work_path(), chosen)
    rates = {str(way): round(1 / cost, 1) for way, cost in costs.items()}
    return {"scorer": str(chosen), "measured": bool(costs), "rows_per_second": rates}


def measured(table: pa.Table, config: Config, loaded: Mapping[Way, score.Resources]) -> dict[Way, float]:
    """Seconds of the processor a row, by each way: what others do on this machine meanwhile does not count."""
    lengths = pc.list_value_length(table.column("target_tokens")).to_numpy()
    order = np.argsort(lengths, kind="stable")

    def cost(way: Way, place: float) -> float:
        rows = _around(order, lengths, place, loaded[way].batch_tokens)
        part = table.take(pa.array(rows))
        started = time.process_time()
        score.run(part, config, loaded[way])
        return (time.process_time() - started) / len(rows)

    for resources in loaded.values():
        score.run(table.slice(0, _WARM_UP_ROWS), config, resources)
    return compare(list(loaded), cost, SECONDS, time.monotonic)


def _around(order: Numbers, lengths: Numbers, place: float, tokens: int) -> list[int]:
    """A batch of so many tokens, of the rows next to a place in their order by length."""
    middle = int(place * (len(order) - 1))
    count = max(tokens // (int(lengths[order[middle]]) + 1), 1)
    first = max(min(middle - count // 2, len(order) - count), 0)
    return [int(row) for row in order[first : first + count]]


def _rows(inputs: Mapping[str, Artifact], info: TeacherInfo) -> pa.Table | None:
    """What the teacher is asked of the first shard, which is a random sample of the corpus; None without rows."""
    for name in inputs["select"].shard_names("train-")[:1]:
        table = join([inputs[role].read_shard(name, ["id", *columns]) for role, columns in score.READS.items()])
        table = table.filter(pa.array(is_for(info, table)))
        return table if table.num_rows else None
    return None
