import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.planning.scope import open_planner
from pipeline.recipe.recipe import Recipe
from pipeline.running.cluster import Cluster, Place
from pipeline.running.runner import RunError, Runner
from pipeline.terminal.progress import PlainDisplay
from tests.pipeline.conftest import ReadToy

Run = Callable[[Recipe], list[str]]


def run_on(cluster: Cluster, recipe: Recipe) -> list[str]:
    """Runs a whole recipe; returns the lines of its display."""
    lines: list[str] = []
    planner = open_planner(recipe)
    display = PlainDisplay(lines.append, interval=0)
    runner = Runner(cluster, planner, display, retries=recipe.run.retries, retry_pause=0.01, shards_in_flight=2)
    try:
        runner.run(recipe.graph, planner.plan(recipe.graph))
    except RunError as error:
        lines.append(str(error))
    return lines


@pytest.fixture
def run(cluster: Cluster) -> Run:
    return partial(run_on, cluster)


def states(recipe: Recipe) -> dict[str, str]:
    return {step.node.name: step.state for step in open_planner(recipe).plan(recipe.graph)}


def metrics_of(recipe: Recipe) -> dict[str, int]:
    step = open_planner(recipe).plan(recipe.graph)[-1]
    assert step.artifact
    metrics: dict[str, int] = json.loads((step.artifact.path() / "metrics.json").read_text())
    return metrics


def test_a_graph_runs_to_its_end_with_models_loaded_once_a_process(
    run: Run, read_toy: ReadToy, tmp_path: Path, cluster: Cluster
) -> None:
    recipe = read_toy("corpus.rows=60", f"shout.trace={tmp_path}", "total.factor=2")
    lines = run(recipe)
    shouted = [f"ROW {n}! of 12" for n in range(60)]
    assert metrics_of(recipe) == {"total": 2 * sum(len(text) for text in shouted), "base": 2 * 60}
    loads = [path.name.split("-")[1] for path in tmp_path.glob("load-*")]
    assert len(loads) == len(set(loads)) <= cluster.workers
    assert any(line.startswith("total: 2 of 2, loss 0.5") for line in lines)
    assert run(recipe) == []


def test_a_shard_that_fails_at_times_is_tried_again(run: Run, read_toy: ReadToy, tmp_path: Path) -> None:
    recipe = read_toy(f"shout.trace={tmp_path}", "shout.trouble=row 7", "shout.times=2")
    lines = run(recipe)
    tries = [line for line in lines if "trying again" in line]
    assert tries == [
        f"stage shout, shard train-00001: RuntimeError: the machine hiccuped; trying again in {pause:g} s ({n} of 2)"
        for n, pause in ((1, 0.01), (2, 0.02))
    ]
    assert set(states(recipe).values()) == {"done"}


def test_a_shard_given_up_is_named_and_all_else_is_finished(run: Run, read_toy: ReadToy, tmp_path: Path) -> None:
    recipe = read_toy(f"shout.trace={tmp_path}", "shout.trouble=row 7", "shout.kind=data")
    end = run(recipe)[-1]
    assert "stage shout, shard train-00001: row 00ff: a row that cannot be" in end
    assert "not run, because they need what failed: count, total, report" in end
    # The data is at fault: trying again would not help.
    assert len(list(tmp_path.glob("run-row 5-*"))) == 1
    assert states(recipe) == {
        "corpus": "done",
        "shout": "partial",
        "count": "waiting",
        "total": "waiting",
        "base": "done",
        "report": "waiting",
    }


def test_a_stage_that_changes_ids_is_stopped_by_name(run: Run, read_toy: ReadToy) -> None:
    lines = run(read_toy("count.swap_ids=true"))
    assert "stage count, shard train-00000: the stage returned other ids than it was given" in lines[-1]


def test_a_damaged_shard_is_named(run: Run, read_toy: ReadToy) -> None:
    recipe = read_toy()
    run(recipe)
    store = Path(recipe.run.store_url())
    (shard,) = store.glob("shout-*/train-00002.parquet")
    shard.write_bytes(shard.read_bytes()[:-9])
    (count,) = store.glob("count-*")
    shutil.rmtree(count)
    (fault,) = [line for line in run(recipe)[-1].splitlines() if "train-00002" in line]
    assert fault.startswith("stage count, shard train-00002: ")
    assert str(shard) in fault
    assert "is damaged or was altered" in fault


def test_finished_shards_of_a_stopped_run_are_not_made_again(run: Run, read_toy: ReadToy, tmp_path: Path) -> None:
    broken = read_toy(f"shout.trace={tmp_path}", "shout.trouble=row 7", "shout.times=1", "run.retries=0")
    run(broken)
    assert states(broken)["shout"] == "partial"
    lines = run(broken)
    assert "shout: begins, 15 of 20 are there already" in lines
    runs = [path.name.split("-")[-2] for path in tmp_path.glob("*run-row*")]
    assert sorted(runs) == ["row 0", "row 10", "row 15", "row 5", "row 5"]


def test_of_a_stage_that_lost_a_shard_only_that_one_is_made(run: Run, read_toy: ReadToy, tmp_path: Path) -> None:
    recipe = read_toy(f"shout.trace={tmp_path}")
    run(recipe)
    shout = open_planner(recipe).plan(recipe.graph)[1].artifact
    assert shout
    before = shout.manifest()
    for trace in tmp_path.glob("ended-run-*"):
        trace.unlink()
    (Path(shout.url) / "train-00001.parquet").unlink()
    assert "shout: begins, 15 of 20 are there already" in run(recipe)
    assert [path.name.split("-")[2] for path in tmp_path.glob("ended-run-*")] == ["row 5"]
    after = shout.manifest()
    assert after.content_digest() == before.content_digest()
    # Together with what it took before.
    assert after.seconds > before.seconds


def test_only_so_many_shards_are_on_the_cluster_at_a_time(
    run: Run, read_toy: ReadToy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cluster: set[object] = set()
    most = [0]
    submit = cluster.client.submit

    def counting(*arguments: object, **options: object) -> object:
        future = submit(*arguments, **options)
        on_cluster.add(future.key)
        most[0] = max(most[0], len(on_cluster))
        future.add_done_callback(lambda ended: on_cluster.discard(ended.key))
        return future

    monkeypatch.setattr(cluster.client, "submit", counting)
    run(read_toy("corpus.rows=40", "corpus.shard_rows=1", text="[corpus]\n"))
    assert most[0] == 2 * cluster.workers


def test_independent_whole_stages_run_together_and_share_the_cores(
    run: Run, read_toy: ReadToy, tmp_path: Path, cluster: Cluster
) -> None:
    run(read_toy())
    # Everything before them is there; each of the two ends only when the other has begun.
    recipe = read_toy(f"total.trace={tmp_path}", "total.meet=2")
    run(recipe)
    assert set(states(recipe).values()) == {"done"}
    threads = max(1, cluster.cores // 2)
    assert sorted(path.name for path in tmp_path.glob("call *")) == [f"call base {threads}", f"call total {threads}"]


def test_a_lone_whole_stage_has_all_cores(run: Run, read_toy: ReadToy, tmp_path: Path, cluster: Cluster) -> None:
    run(read_toy(f"total.trace={tmp_path}", text="[corpus]\n"))
    assert [path.name for path in tmp_path.glob("call *")] == [f"call total {cluster.cores}"]


def test_on_a_gpu_one_process_holds_the_models(read_toy: ReadToy, tmp_path: Path, cluster: Cluster) -> None:
    run_on(replace(cluster, device="cuda"), read_toy(f"shout.trace={tmp_path}", "corpus.rows=60", text="[corpus]\n"))
    assert len(list(tmp_path.glob("ended-*"))) == 12
    assert len(list(tmp_path.glob("load-*"))) == 1


def test_on_a_gpu_a_worker_that_has_gone_is_not_waited_for(
    read_toy: ReadToy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a death: the process that is started anew has another address.
    gone = Place(1, slots=1, workers=["tcp://127.0.0.1:1"])
    monkeypatch.setattr(Cluster, "place", lambda *given, **threads: gone)
    recipe = read_toy(text="[corpus]\n")
    run_on(cluster, recipe)
    assert {step.state for step in open_planner(recipe).plan(recipe.graph)} == {"done"}


@pytest.mark.slow
def test_a_worker_that_dies_of_a_shard_costs_only_that_shard(run: Run, read_toy: ReadToy, tmp_path: Path) -> None:
    recipe = read_toy(f"shout.trace={tmp_path}", "shout.trouble=row 7", "shout.kind=die")
    end = run(recipe)[-1]
    assert "stage shout, shard train-00001: its worker process died each time it was tried" in end
    step = open_planner(recipe).plan(recipe.graph)[1]
    assert sorted(step.finished) == ["train-00000", "train-00002", "train-00003"]
