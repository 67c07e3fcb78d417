"""A process that trains some steps on a made-up dataset: when its first step was done, and the memory that it took.

`python -m bench.first_step FOLDER STEPS [SHARD]`: with SHARD it goes on from its state as if it stood there.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Before anything is imported that takes its time.
_BEGUN = time.time()


class _StopError(Exception):
    """Ends a training after a checkpoint, as a kill would."""


def main() -> None:
    """Prints what was measured as JSON."""
    folder, steps, *shard = sys.argv[1:]
    print(json.dumps(train(Path(folder), int(steps), int(shard[0]) if shard else None)))


def config(steps: int, **options: Any) -> Any:
    """A student of twenty pairs that learns from hypotheses and references."""
    from stages.student import stage as student

    optimiser = {
        "steps": steps, "report_every": 1, "validate_every": 0, "checkpoint_every": max(steps // 3, 1),
        "batch_tokens": 1536, "precision": "float32",
    }  # fmt: skip
    model = {"encoder_layers": 1, "decoder_layers": 1, "width": 32, "heads": 2, "feed_forward": 64}
    objective = {"soft_targets": {"weight": 0.0}}
    given = {"model": model, "optimiser": optimiser, "objective": objective, "languages": {"tags": "target"}}
    given |= {"data": {"hypothesis": 0.5, "reference": 0.5}}
    return student.Config.model_validate(given | options)


def train(folder: Path, steps: int, shard: int | None) -> dict[str, float]:
    """Seconds since the process began until its first step was done, and the most memory that it held, in bytes."""
    from bench.fixtures import new_artifact
    from data.runtime import Runtime
    from stages.student import stage as student

    inputs = {name: new_artifact(folder / "large", name) for name in ("corpus", "dataset")}
    inputs |= {name: new_artifact(folder, name) for name in ("tokenizer", "teacher")}
    output = new_artifact(folder, "student")
    if shard is not None:
        _place_at(output.work_path() / ".state.pt", shard)
    first: list[float] = []

    def progress(step: int, total: int | None, extras: Mapping[str, float]) -> None:
        if not first:
            first.extend((time.time() - _BEGUN, time.process_time()))
        if shard is None and step == 2 * (steps // 3):
            raise _StopError

    with suppress(_StopError):
        student.run(inputs, config(steps), output, Runtime(1, "cpu", progress))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": first[0], "processor_seconds": first[1], "bytes": most}


def _place_at(path: Path, shard: int) -> None:
    """The state of a training that stands at this place of each stream's shards."""
    from stages.training import checkpoint

    state = checkpoint.load(path)
    for position in state["place"]["positions"].values():
        position |= {"place": [0, shard, SHARD_ROW, 0], "waiting": None}
    checkpoint.save(path, state)


# In the middle of a shard.
SHARD_ROW = 4321

if __name__ == "__main__":
    main()
