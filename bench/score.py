"""What score costs beside decode, and how near its log-probabilities are to those of float64.

`python -m bench.score` writes bench/results/score.json; `--quick` looks at little and writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench import fixtures, scored
from bench.fixtures import Fixture
from bench.nearness import nearness
from bench.on_cluster import OnCluster
from bench.records import Record, record, run_suite
from bench.turns import Turns, by_turns
from data.model_folder import CHECKPOINT_FILE
from data.runtime import Runtime
from data.soft_targets import row_lengths
from stages.decode import stage as decode
from stages.score import stage as score

PACKAGES = ("torch", "ctranslate2")
K = 16
# What is measured beside the default; the second name is of an option.
WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "torch_bfloat16": {"backend": "torch", "precision": "bfloat16"},
    "torch_float32": {"backend": "torch", "precision": "float32"},
    "ctranslate2": {"backend": "ctranslate2"},
}


@dataclass(frozen=True)
class Size:
    """How much is measured. `rows_checked` are compared with float64."""

    demo_shards: int
    base_rows: int
    rounds: int
    rows_checked: int


FULL = Size(demo_shards=2, base_rows=400, rounds=5, rows_checked=60)
QUICK = Size(demo_shards=1, base_rows=48, rounds=1, rows_checked=8)


def compare(fixture: Fixture, size: Size, folder: Path) -> list[Record]:
    """Time of every way to score over the time of a beam-5 decode of the same rows, each with its accuracy."""
    threads = fixtures.cores()
    fixture = scored.with_select(fixture, folder)
    config = decode.Config.model_validate(dict(fixture.decode) | {"beam_size": 5})
    ways = {name: score.Config.model_validate({"k": K, **options}) for name, options in ways_of(fixture).items()}
    chosen = {name: scored.with_scorer(fixture, way, folder / "scorers" / name) for name, way in ways.items()}
    # As a worker process of a run loads it, whose shards are scored beside those of others.
    loaded = _without_twins({name: score.load(way, chosen[name].artifacts, Runtime()) for name, way in ways.items()})
    stages = {"decode": OnCluster(fixture, "decode", config, threads, folder / "decode")}
    stages |= {name: OnCluster(chosen[name], "score", ways[name], threads, folder / name) for name in loaded}
    turns = by_turns({name: stage.run for name, stage in stages.items()}, size.rounds)
    for stage in stages.values():
        stage.close()
    few = scored.targets(fixture).slice(0, size.rows_checked)
    soft = {name: score.run(few, ways[name], one) for name, one in loaded.items()}
    near = {name: nearness(fixture, few, one) for name, one in soft.items()}
    made_by = {name: {"backend": one.backend, "compute_type": one.scorer.compute_type} for name, one in loaded.items()}
    detail = _detail(fixture, soft["default"], turns)
    return [
        _record(_named(name, fixture), turns, name, threads, detail | made_by[name] | near[name]) for name in loaded
    ]


def ways_of(fixture: Fixture) -> dict[str, dict[str, str]]:
    """Those that the fixture's teacher can be scored in."""
    has_checkpoint = (fixture.teacher() / CHECKPOINT_FILE).is_file()
    return {name: way for name, way in WAYS.items() if has_checkpoint or way.get("backend") != "torch"}


def _without_twins(loaded: Mapping[str, score.Resources]) -> dict[str, score.Resources]:
    """Those that are not the default by another name."""
    default = loaded["default"]
    return {
        name: one
        for name, one in loaded.items()
        if one is default or (one.backend, one.scorer.compute_type) != (default.backend, default.scorer.compute_type)
    }


def _named(way: str, fixture: Fixture) -> str:
    """The figure that is asked for is that of the transformer-base's default."""
    suffix = "" if fixture.name == "transformer-base" else f"_{fixture.name}"
    return f"score_vs_decode_cpu{suffix}" + ("" if way == "default" else f"_{way}")


def _detail(fixture: Fixture, few: pa.Table, turns: Turns) -> dict[str, Any]:
    return {
        "fixture": fixture.name,
        "rows": fixture.table().num_rows,
        "k": K,
        "positions_checked": int(row_lengths(few).sum()),
        **turns.detail(),
    }


def _record(name: str, turns: Turns, way: str, threads: int, detail: dict[str, Any]) -> Record:
    ratio = turns.ratio(way, "decode")
    against = "beam-5 int8 decode of the same rows, both as a run has them: Parquet in, Parquet out"
    return record(name, ratio, "ratio", threads=threads, packages=PACKAGES, compared_with=against, detail=detail)


def measure(size: Size, folder: Path) -> list[Record]:
    """All figures of the suite."""
    base = fixtures.transformer_base(folder / "base", rows=size.base_rows, shards=fixtures.cores())
    demo = fixtures.demo(folder / "demo", shards=size.demo_shards)
    return compare(base, size, folder / "base-runs") + compare(demo, size, folder / "demo-runs")


def main() -> None:
    """Runs the suite."""
    run_suite("score", __doc__, lambda quick, folder: measure(QUICK if quick else FULL, folder))


if __name__ == "__main__":
    main()
