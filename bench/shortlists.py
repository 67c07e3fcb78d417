"""What a shortlist wins and loses: speed, and chrF on sentences that it was not learned from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench import fixtures
from bench.fixtures import Fixture
from bench.on_cluster import OnCluster
from bench.records import Record, record
from bench.turns import by_turns
from data.runtime import Runtime
from stages.beam_search.calibration import read_calibration
from stages.beam_search.shortlist import FILE
from stages.decode import stage as decode

# As many as Marian's and Mozilla's pipelines keep.
CANDIDATES = 100
PACKAGES = ("ctranslate2", "sacrebleu")


def compare_shortlist(
    fixture: Fixture, config: decode.Config, rounds: int, folder: Path, suffix: str = ""
) -> list[Record]:
    """How many times as fast decode is with a shortlist; for a corpus with a test split, what it costs in chrF."""
    listed_config = config.model_copy(update={"shortlist": CANDIDATES})
    listed = with_shortlist(fixture, listed_config, folder / "calibrated")
    threads = fixtures.cores()
    both = {
        "whole": OnCluster(fixture, "decode", config, threads, folder / "whole"),
        "listed": OnCluster(listed, "decode", listed_config, threads, folder / "listed"),
    }
    contenders: dict[str, Callable[[], Any]] = {name: ours.run for name, ours in both.items()}
    turns = by_turns(contenders, rounds)
    for ours in both.values():
        ours.close()
    content = (listed.artifacts["calibrate"].path() / FILE).read_text(encoding="utf-8")
    detail = {
        "fixture": fixture.name,
        "candidates": CANDIDATES,
        "always": len(content.split("\n", 1)[0].split(" ")),
        "batch_tokens": {"whole": batch_tokens(fixture), "listed": batch_tokens(listed)},
        **turns.detail(),
    }
    ratio = turns.ratio("whole", "listed")
    records = [_record(f"shortlist_speed{suffix}", ratio, "ratio", detail, threads)]
    if tested := fixture.artifacts["corpus"].shard_names("test-"):
        scores = {
            "whole": chrf(fixture, config, tested),
            "listed": chrf(listed, listed_config, tested),
        }
        change = scores["listed"] - scores["whole"]
        records.append(_record(f"shortlist_chrf_change{suffix}", change, "chrF", {**detail, "chrf": scores}, threads))
    return records


def with_shortlist(fixture: Fixture, config: decode.Config, folder: Path) -> Fixture:
    """The fixture with a calibration for this config."""
    return replace(
        fixture, artifacts={**fixture.artifacts, "calibrate": fixtures.calibrated(folder, fixture.artifacts, config)}
    )


def batch_tokens(fixture: Fixture) -> int:
    """What was found fastest."""
    return read_calibration(fixture.artifacts["calibrate"].path()).max_batch_tokens


def chrf(fixture: Fixture, config: decode.Config, shards: list[str]) -> float:
    """Of the first hypotheses of these shards against their references, 0..100."""
    from sacrebleu.metrics import CHRF

    corpus = fixture.artifacts["corpus"]
    table = pa.concat_tables([corpus.read_shard(name, ["id", "source", "reference"]) for name in shards])
    table = table.filter(table["reference"].is_valid())
    result = decode.run(table, config, decode.load(config, fixture.artifacts, Runtime()))
    best = [row[0]["text"] for row in result["hypotheses"].to_pylist()]
    return float(CHRF().corpus_score(best, [table["reference"].to_pylist()]).score)


def _record(name: str, value: float, unit: str, detail: dict[str, Any], threads: int) -> Record:
    against = "decode over the whole vocabulary, same beam and threads"
    return record(name, value, unit, threads=threads, packages=PACKAGES, compared_with=against, detail=detail)
