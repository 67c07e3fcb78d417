"""A process that trains a student and tells the processor's seconds a step took.

`python -m bench.step_seconds FOLDER STEPS OPTIONS`. It asks for nothing that older trees do not have, so that a tree of
another commit can be measured beside this one.
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# As demo's student: two layers and one.
MODEL = {"encoder_layers": 2, "decoder_layers": 1, "width": 256, "heads": 4, "feed_forward": 1024}


def main() -> None:
    """Prints them as JSON."""
    folder, steps, options = sys.argv[1:]
    print(json.dumps(step_seconds(Path(folder), int(steps), json.loads(options))))


def step_seconds(folder: Path, steps: int, options: Mapping[str, Any]) -> dict[str, float]:
    """Of all steps but the first third, on one thread."""
    from data.runtime import Runtime
    from data.store import Store
    from stages.student import stage as student

    store = Store(str(folder))
    inputs = {name: store.artifact(name, "0" * 20) for name in ("corpus", "dataset", "tokenizer", "teacher")}
    course = {"steps": steps, "report_every": 1, "validate_every": 0, "checkpoint_every": steps, "batch_tokens": 1536}
    config = student.Config.model_validate({"model": MODEL, "optimiser": course, **options})
    output = store.artifact("student", "0" * 20)
    used: dict[int, float] = {}

    def progress(step: int, total: int | None, extras: Mapping[str, float]) -> None:
        used.setdefault(step, time.process_time())

    student.run(inputs, config, output, Runtime(1, "cpu", progress))
    shutil.rmtree(output.work_path())
    first = steps // 3
    return {"seconds": (used[steps] - used[first]) / (steps - first)}


if __name__ == "__main__":
    main()
