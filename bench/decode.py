"""How fast decode is: against the loop of other pipelines, and against the least that CTranslate2 needs.

`python -m bench.decode` writes bench/results/decode.json; `--quick` looks at little and writes nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import fixtures
from bench.decoders import LIMIT_BATCH_TOKENS, PEER_BATCH_TOKENS, Limit, elsewhere
from bench.environment import of_worker
from bench.fixtures import Fixture
from bench.on_cluster import OnCluster
from bench.records import Record, record, run_suite
from bench.shortlists import compare_shortlist
from bench.turns import Turns, by_turns
from stages.beam_search.calibration import read_calibration
from stages.decode import stage as decode

PACKAGES = ("ctranslate2", "sentencepiece", "pyarrow")
# Rows on which the best batch size of the limit is looked for.
SAMPLE_ROWS = 600


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    demo_shards: int
    base_rows: int
    demo_rounds: int
    base_rounds: int


FULL = Size(demo_shards=4, base_rows=800, demo_rounds=7, base_rounds=3)
QUICK = Size(demo_shards=1, base_rows=48, demo_rounds=1, base_rounds=1)


def compare(fixture: Fixture, config: decode.Config, rounds: int, folder: Path, suffix: str = "") -> list[Record]:
    """Ratios of throughput of our stage to each contender's, over the fixture's shards.

    The limit has our workers' environment; the peers have none of it, as when their script is started by hand.
    """
    threads = fixtures.cores()
    equal = {"inter_threads": threads, "intra_threads": 1, "compute_type": "int8"}
    with elsewhere({}) as plain, elsewhere({}) as other, elsewhere(of_worker()) as same:
        peer = plain.peer(fixture, config, _sub(folder, "peer"), equal)
        usual = other.peer(fixture, config, _sub(folder, "defaults"), {"compute_type": "float32"})
        limit = same.limit(fixture, config, equal)
        best, sweep = best_batch_tokens(limit)
        ours = OnCluster(fixture, "decode", config, threads, folder / "ours")
        contenders: dict[str, Callable[[], Any]] = {
            "ours": ours.run,
            "peer": peer.run,
            "limit": lambda: limit.run(best),
            "peer_defaults": usual.run,
        }
        turns = by_turns(contenders, rounds)
        ours.close()
        detail = _detail(fixture, config, turns) | limit.facts()
    detail |= {"limit_batch_tokens": best, "limit_sweep_seconds": sweep, "our_environment": of_worker()}
    return [_ratio(f"decode_vs_{name}{suffix}", name, turns, detail, threads) for name in list(contenders)[1:]]


def best_batch_tokens(limit: Limit) -> tuple[int, dict[str, float]]:
    """The limit's fastest batch size, and the seconds of all on a sample."""
    seconds = {}
    for tokens in LIMIT_BATCH_TOKENS:
        started = time.perf_counter()
        limit.run(tokens, rows=SAMPLE_ROWS)
        seconds[tokens] = time.perf_counter() - started
    best = min(seconds, key=lambda tokens: seconds[tokens])
    return best, {str(tokens): round(took, 3) for tokens, took in seconds.items()}


_AGAINST = {
    "peer": f"translate_iterable in the file's order, {PEER_BATCH_TOKENS} tokens a batch, int8, a thread a replica",
    "peer_defaults": "the same in float32, with the threads that CTranslate2 chooses by itself",
    "limit": "one sorted, tokenised translate_batch over everything in int8, nothing read or written",
}


def _ratio(name: str, other: str, turns: Turns, detail: dict[str, Any], threads: int) -> Record:
    ratio = turns.ratio(other, "ours")
    return record(
        name, ratio, "ratio", threads=threads, packages=PACKAGES, compared_with=_AGAINST[other], detail=detail
    )


def _detail(fixture: Fixture, config: decode.Config, turns: Turns) -> dict[str, Any]:
    return {
        "fixture": fixture.name,
        "beam_size": config.beam_size,
        "num_hypotheses": config.num_hypotheses,
        "our_batch_tokens": read_calibration(fixture.artifacts["calibrate"].path()).max_batch_tokens,
        **turns.detail(),
    }


def measure(size: Size, folder: Path) -> list[Record]:
    """All figures of the suite."""
    demo = fixtures.demo(folder / "demo", shards=size.demo_shards)
    base = fixtures.transformer_base(folder / "base", rows=size.base_rows, shards=2 * fixtures.cores())
    return [
        *measure_fixture(demo, decode.Config(), size.demo_rounds, folder / "demo-runs"),
        *measure_fixture(
            base,
            decode.Config.model_validate(base.decode),
            size.base_rounds,
            folder / "base-runs",
            "_transformer_base",
        ),
    ]


def measure_fixture(fixture: Fixture, config: decode.Config, rounds: int, runs: Path, suffix: str = "") -> list[Record]:
    """All figures of a fixture; their names end in the suffix."""
    return [
        *compare(fixture, config, rounds, runs, suffix),
        *compare_shortlist(fixture, config, rounds, runs / "shortlist", suffix),
    ]


def main() -> None:
    """Runs the suite."""
    run_suite("decode", __doc__, lambda quick, folder: measure(QUICK if quick else FULL, folder))


def _sub(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main()
