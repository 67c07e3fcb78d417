"""Estimates against truths that can be worked out on paper, and against what a toy run then leaves."""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.errors import PotstillError
from data.store import Manifest, ShardRecord
from pipeline.cli.tables import estimate_table, status_table
from pipeline.estimating.estimate import Price, estimate_recipe, first_stages
from pipeline.estimating.extrapolate import Trials, Whole, bootstrap, contents, shard_work, slope, training_work
from pipeline.estimating.extrapolate import whole_work as stage_work
from pipeline.estimating.record import Interval, read
from pipeline.estimating.rehearsal import Sampling
from pipeline.estimating.sample import draw, repeat, write_sample
from pipeline.estimating.schedule import Machine, Work, simulate
from pipeline.estimating.training import read_times, short_training
from pipeline.estimating.trial import TimedShard, Trial
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Node
from pipeline.running.cluster import Cluster
from pipeline.running.launch import ClusterOptions, run_recipe
from pipeline.terminal.progress import PlainDisplay
from stages.student import stage as student
from stages.training.schedules import Schedule
from tests.pipeline.conftest import ReadToy

NOBODY = SimpleNamespace()


def node(name: str, kind: str, *inputs: str) -> Node:
    return Node(name, "tests.pipeline.toy.total", kind, NOBODY, {each: each for each in inputs})  # type: ignore[arg-type]


DEMO = [
    node("corpus", "whole"),
    node("decode", "shard", "corpus"),
    node("dataset", "whole", "decode"),
    node("student", "whole", "dataset"),
    node("baseline", "whole", "corpus"),
    node("report", "whole", "student", "baseline"),
]


def test_the_schedule_lends_cores_as_the_runner_does() -> None:
    work = {"decode": Work(1.0, [2.0] * 5), "dataset": Work(1.0), "student": Work(10.0), "baseline": Work(20.0)}
    slots = simulate(DEMO, {**work, "report": Work(3.0)}, Machine(2, 2))
    # The baseline holds one core, so shards come one by one: loading and five times two seconds.
    assert (slots["decode"].started, slots["decode"].ended) == (0.0, pytest.approx(11.0))
    assert slots["student"].started == pytest.approx(12.0)
    assert (slots["baseline"].threads, slots["student"].threads, slots["report"].threads) == (1, 1, 2)
    assert slots["report"].ended == pytest.approx(12 + 10 + 3)


def test_without_whole_stages_shards_share_all_workers_and_the_last_round_leaves_some_idle() -> None:
    nodes = DEMO[:3]
    slots = simulate(nodes, {"decode": Work(1.0, [2.0] * 5), "dataset": Work(1.0)}, Machine(2, 2))
    assert slots["decode"].ended == pytest.approx(1 + math.ceil(5 / 2) * 2)
    one_holder = simulate(nodes, {"decode": Work(1.0, [2.0] * 5, most=1), "dataset": Work(1.0)}, Machine(4, 4))
    assert one_holder["decode"].ended == pytest.approx(11.0)


def test_a_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        seconds = random.normal(1.0, 0.3, 30)
        found = bootstrap(list(seconds), [1.0] * 30, seed)
        assert found.value == pytest.approx(float(seconds.mean()))
        covered += found.low <= 1.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_an_interval_is_never_narrower_than_a_machine_drifts() -> None:
    found = bootstrap([2.0, 4.0], [1.0, 2.0], 1)
    assert (found.low, found.value, found.high) == pytest.approx((1.9, 2.0, 2.1))
    assert bootstrap([], [], 1).value == 0.0


def test_a_line_has_no_slope_where_both_sizes_are_the_same() -> None:
    assert slope(10, 5.0, 30, 9.0) == pytest.approx(0.2)
    assert slope(10, 5.0, 10, 9.0) == 0.0
    assert slope(10, 5.0, 30, 4.0) == 0.0


def manifest(shards: list[ShardRecord] | None = None, metrics: dict[str, Any] | None = None) -> Manifest:
    return Manifest(
        stage="any", version="1", fingerprint="0" * 20, config={}, inputs={}, libraries={}, shards=shards or [],
        files=[], counters={}, metrics=metrics or {}, created="", seconds=0.0,
    )  # fmt: skip


def trial(seconds: float, rows: list[int] | None = None, a_row: float = 0.0, ends: int = 500) -> Trial:
    records = [
        ShardRecord(
            name=f"train-{number:05}", rows=count, bytes=ends + 7 * count, digest="", counters={"tokens": 3 * count}
        )
        for number, count in enumerate(rows or [])
    ]
    shards = tuple(TimedShard(record, a_row * record.rows) for record in records)
    return Trial(NOBODY, seconds, manifest(records), shards)  # type: ignore[arg-type]


def test_fixed_costs_are_not_scaled_with_rows() -> None:
    # 3 s once a process, 2 s once a call, 10 ms a row.
    found = stage_work(Trials(trial(5.1), trial(2.1), trial(3.0), 10, 100, 10_000))
    assert found.value.seconds == pytest.approx(3 + 2 + 100)
    assert found.low.seconds < found.value.seconds < found.high.seconds
    shards = Trials(trial(4.0, [10, 10]), trial(1.0, [10, 10]), trial(1.0, [50, 50], 0.02), 20, 100, 10_000)
    work = shard_work(shards, Whole([2000, 1000], {"train": 3000}), None, seed=1).value
    assert (work.seconds, list(work.shards)) == (4.0, [pytest.approx(40.0), pytest.approx(20.0)])


def test_what_a_shard_has_without_rows_is_not_scaled_with_rows() -> None:
    trials = Trials(trial(0, [10, 10]), trial(0, [10, 10]), trial(0, [50, 50]), 20, 100, 3000)
    found = contents(trials, {"train-00000": 50, "train-00001": 50}, Whole([2000, 1000], {"train": 3000}), seed=1)
    assert found.rows == Interval.exactly(3000)
    assert found.tokens.value == pytest.approx(9000)
    assert found.bytes.value == pytest.approx(2 * 500 + 7 * 3000)


def test_a_training_is_its_steps_its_validations_and_what_is_done_once(tmp_path: Path) -> None:
    # 4 s before the first step, which takes 6 s more; a step 0.1 s; a validation 2 s; 1 s at the end.
    told = [{"step": step, "loss": 1.0} for step in range(5, 101, 5)]
    times = [{"step": step, "seconds": 10 + step / 10, "tokens_per_second": 1.0} for step in range(5, 101, 5)]
    told.append({"step": 100, "valid_cross_entropy": 1.0})
    times.append({"step": 100, "seconds": 22.0, "valid_seconds": 2.0})
    for name, lines in (("training.jsonl", told), ("timings.jsonl", times)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    step = SimpleNamespace(artifact=SimpleNamespace(path=lambda: tmp_path))
    config = SimpleNamespace(optimiser=SimpleNamespace(steps=6000, validate_every=1000))
    short = Trial(step, 23.0, manifest())  # type: ignore[arg-type]
    found = training_work(read_times(short), config, sample_valid=100, valid=500, seed=1)
    assert found.value.seconds == pytest.approx(6000 * 0.1 + 6 * 2.0 * 5 + 11)


def test_a_short_training_has_each_phase_and_schedule_for_its_share_of_the_steps() -> None:
    config = student.Config.model_validate(
        {
            "data": "reference",
            "optimiser": {"steps": 8000, "batch_tokens": 500},
            "objective": {"cross_entropy": {"start": 1.0, "end": 0.5, "begin": 2000, "until": 4000}},
            "phases": [
                {"begin": 4000, "data": "hypothesis", "objective": {"soft_targets": {"weight": 1.0}}},
                {"begin": 7990, "data": {"hypothesis": {"start": 1, "end": 2, "until": 8000}}},
                {"begin": 7999},
            ],
        }
    )
    short = short_training(config)
    assert isinstance(short, student.Config)
    assert (short.optimiser.steps, short.optimiser.batch_tokens, short.data) == (100, 500, "reference")
    annealed = short.objective.cross_entropy
    assert isinstance(annealed, Schedule)
    # 20 steps to warm up, and then a hundredth of all.
    assert (annealed.begin, annealed.until) == (40, 60)
    assert [phase.begin for phase in short.phases] == [60, 98, 99]
    assert short.phases[0].objective == config.phases[0].objective


def test_a_sample_is_drawn_at_random_and_again_the_same(read_toy: ReadToy) -> None:
    recipe = read_toy("corpus.rows=400", "corpus.shard_rows=20")
    corpus = make(recipe, "corpus")
    first, again, other = (draw(corpus, {"train": 50, "valid": 5, "test": 5}, seed)["train"] for seed in (1, 1, 2))
    assert first.equals(again)
    assert first.column("id").to_pylist() != other.column("id").to_pylist()
    assert len(set(first.column("id").to_pylist())) == 50


def test_rows_to_train_on_are_repeated_and_no_others(read_toy: ReadToy) -> None:
    corpus = make(read_toy("corpus.rows=40"), "corpus")
    store = open_planner(read_toy("run.name=repeated")).store
    repeated = repeat(store, corpus, 3)
    assert repeated.artifact is not None
    assert repeated.content != corpus.content
    for name in corpus.artifact.shard_names():
        before, after = corpus.artifact.read_shard(name), repeated.artifact.read_shard(name)
        assert after.equals(pa.concat_tables([before] * (3 if name.startswith("train-") else 1)))


@pytest.mark.parametrize(("in_hand", "rows"), [(8, 16), (40, 48), (1000, 64)])
def test_a_training_is_tried_on_as_many_rows_as_it_will_have_in_hand(
    in_hand: int, rows: int, read_toy: ReadToy, cluster: Cluster
) -> None:
    text = "[corpus]\nrows = 64\nshard_rows = 8\n[student]\n"
    recipe = read_toy(f"student.optimiser.shuffle_rows={in_hand}", "student.optimiser.steps=500", text=text)
    options = ClusterOptions(cluster.client.scheduler.address, None, dashboard=False)
    found = estimate_recipe(recipe, lambda: PlainDisplay(lambda line: None), options, Sampling(16, 1), Price())
    tokens = {stage.stage: stage.tokens.value for stage in found.stages}
    assert tokens["student"] == pytest.approx(500 * rows)


def test_lengths_are_dealt_evenly(read_toy: ReadToy) -> None:
    recipe = read_toy("corpus.rows=40")
    corpus = make(recipe, "corpus")
    store = open_planner(read_toy("run.name=sample")).store
    sources = ["x" * length for length in range(100)]
    table = pa.table({"id": [f"{number:032x}" for number in range(100)], "source": sources})
    sample = write_sample(store, corpus, {"train": table}, 4)
    assert sample.corpus.artifact is not None
    means = [
        np.mean([len(text) for text in shard.column("source").to_pylist()]) for shard in sample.corpus.artifact.tables()
    ]
    assert len(means) == 4
    assert max(means) - min(means) <= 3.0


def make(recipe: Any, until: str) -> Any:
    """The step of a stage of a toy recipe, done in this process."""
    graph = recipe.graph.up_to(until)
    planner = open_planner(recipe)
    steps: dict[str, Any] = {}
    for each in graph.nodes:
        step = planner.step(each, steps)
        metrics = each.stage().run(step.inputs, each.config, step.artifact, NOBODY)
        step.artifact.complete(**vars(step.identity), metrics=metrics)
        steps[each.name] = planner.step(each, steps)
    return steps[until]


def test_the_beginnings_are_what_shards_need_and_no_more(read_toy: ReadToy) -> None:
    assert first_stages(read_toy().graph) == ["corpus"]


def test_a_toy_run_takes_what_was_estimated(read_toy: ReadToy, cluster: Cluster) -> None:
    recipe = read_toy("corpus.rows=64", "corpus.shard_rows=8", "shout.seconds=0.2", "total.seconds=0.4")
    options = ClusterOptions(cluster.client.scheduler.address, None, dashboard=False)
    lines: list[str] = []
    found = estimate_recipe(recipe, lambda: PlainDisplay(lines.append), options, Sampling(32, 1), Price(3.6, "EUR"))
    by_name = {stage.stage: stage for stage in found.stages}
    assert by_name["corpus"].state == "done"
    assert by_name["count"].rows == Interval.exactly(64)
    assert by_name["shout"].tokens.value == pytest.approx(64 * 4)
    # Two workers for eight shards of 0.2 s each; while the baseline sleeps, one.
    assert by_name["shout"].seconds.value >= 0.8
    assert by_name["total"].seconds.value >= 0.4
    assert read(open_planner(recipe).store) == found
    money = found.money_per_million(Interval.exactly(64.0))
    assert money is not None
    assert money.value == pytest.approx(64 * 0.001 / 64 * 1e6)
    left = [path.name for path in Path(open_planner(recipe).store.url).iterdir()]
    assert ".estimate" not in left

    start = time.monotonic()
    run_recipe(recipe, lambda: PlainDisplay(lines.append), options)
    assert time.monotonic() - start >= 0.8
    planner = open_planner(recipe)
    table = status_table(planner.plan(recipe.graph), read(planner.store))
    assert "estimated" in table.splitlines()[0]
    assert "stages: estimated" in table.splitlines()[-1]
    assert "EUR a million" in estimate_table(found)
    # An estimate for another config, or another corpus, is none for this.
    changed = read_toy("corpus.rows=64", "corpus.shard_rows=8", "shout.seconds=0.1", "total.seconds=0.4")
    rows = {line.split()[0]: line for line in status_table(planner.plan(changed.graph), found).splitlines()}
    assert len(rows["total"].split()) < len(rows["base"].split())


def test_a_stage_that_fails_on_the_sample_is_named(read_toy: ReadToy, cluster: Cluster) -> None:
    recipe = read_toy("count.swap_ids=true")
    options = ClusterOptions(cluster.client.scheduler.address, None, dashboard=False)
    with pytest.raises(PotstillError, match=r"on a sample, stage count, shard train-00000: .* raise --rows"):
        estimate_recipe(recipe, lambda: PlainDisplay(lambda line: None), options, Sampling(16, 1), Price())
