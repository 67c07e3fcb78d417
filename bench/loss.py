"""What a training step costs by the size of the vocabulary: beside an older tree, and with a shortlist.

`python -m bench.loss` writes bench/results/loss.json; `--quick` looks at little and writes nothing.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench import fixtures
from bench.fixtures import ROOT
from bench.made_up_targets import made_up_dataset
from bench.records import Record, record, run_suite
from bench.step_seconds import MODEL
from bench.trees import BEFORE, told_by, tree_of
from bench.turns import by_turns
from stages.training.config import ModelConfig

PACKAGES = ("torch", "OpenNMT-py")
SIZES = {"v32k": 32_000, "v4k": 4_000}
K, DRAWN = 16, 1000
PLAIN: dict[str, Any] = {"data": "reference"}
SHORT = PLAIN | {"objective": {"shortlist": DRAWN}}
SOFT: dict[str, Any] = {"data": "hypothesis"}
SOFT_SHORT = SOFT | {"objective": {"shortlist": DRAWN}}


def measure(folder: Path, *, quick: bool) -> list[Record]:
    """All figures of the suite: ratios of processor seconds a step, on one thread."""
    before = tree_of(BEFORE, folder / "before", "bench/step_seconds.py")
    records = []
    for name, size in SIZES.items():
        place = folder / name
        # The teacher gives no more than its vocabulary.
        small = ModelConfig(encoder_layers=1, decoder_layers=1, width=32, heads=2, feed_forward=64)
        base = fixtures.transformer_base(place, rows=400, model=small, vocabulary=size)
        made_up_dataset(base.artifacts, place, K)
        contenders = {"now": (ROOT, PLAIN), "before": (before, PLAIN)}
        records.append(_against(f"train_step_vs_previous_{name}", place, contenders, quick=quick))
        if name == "v32k":
            contenders = {"shortlist": (ROOT, SHORT), "whole": (ROOT, PLAIN)}
            records.append(_against("shortlist_loss_speed", place, contenders, quick=quick))
            contenders = {"shortlist": (ROOT, SOFT_SHORT), "whole": (ROOT, SOFT)}
            records.append(_against(f"shortlist_loss_speed_k{K}", place, contenders, quick=quick))
    return records


def _against(
    figure: str, folder: Path, contenders: Mapping[str, tuple[Path, Mapping[str, Any]]], *, quick: bool
) -> Record:
    steps = 9 if quick else 60

    def run(name: str) -> float:
        tree, options = contenders[name]
        return told_by("bench.step_seconds", [str(folder), str(steps), json.dumps(options)], tree)["seconds"]

    turns = by_turns({name: partial(run, name) for name in contenders}, 1 if quick else 5)
    first, second = contenders
    against = f"processor seconds a step: {second} / {first}; before is the tree of {BEFORE}"
    detail = turns.detail() | {"model": MODEL, "batch_tokens": 1536, "drawn": DRAWN, "steps": steps}
    return record(
        figure, turns.ratio(second, first), "ratio", threads=1, packages=PACKAGES, compared_with=against, detail=detail
    )


def main() -> None:
    """Runs the suite."""
    run_suite("loss", __doc__, lambda quick, folder: measure(folder, quick=quick))


if __name__ == "__main__":
    main()
