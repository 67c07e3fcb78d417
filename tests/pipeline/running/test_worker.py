import errno
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import DataError
from data.local import storage_faults
from data.schema import NOTES_KEY
from pipeline.planning.plan import Step
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Node
from pipeline.running.runner import make_job
from pipeline.running.worker import Job, ResourceCache, TaskError, check_result, close_shards, run_shard, without_notes
from tests.pipeline.conftest import ReadToy
from tests.pipeline.toy import corpus, shout

SCHEMA = pa.schema(
    [pa.field("id", pa.string(), nullable=False), pa.field("n", pa.int32(), False, {"comment": "how many"})]
)
GIVEN = pa.table({"id": ["a", "b"], "source": ["x", "y"]})


def table(ids: list[str], numbers: list[int | None]) -> pa.Table:
    return pa.table([ids, pa.array(numbers, pa.int32())], schema=SCHEMA)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (pa.table({"id": ["a", "b"], "n": [1, 2]}), "returned the columns id: string, n: int64; expected"),
        (table(["b", "a"], [1, 2]), "other ids"),
        (table(["a"], [1]), "other ids than it was given: 1 for 2 rows"),
        (table(["a", "b"], [1, None]), "column n of the stage's result has 1 nulls"),
    ],
)
def test_a_stage_that_breaks_its_contract_is_stopped(result: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_result(GIVEN, result, SCHEMA)


def test_a_good_result_gets_the_comments_of_the_schema_and_keeps_its_own_metadata() -> None:
    bare = table(["a", "b"], [1, 2]).cast(pa.schema([field.remove_metadata() for field in SCHEMA], {"k": "v"}))
    checked = check_result(GIVEN, bare, SCHEMA)
    assert checked.schema.field("n").metadata == {b"comment": b"how many"}
    assert checked.schema.metadata == {b"k": b"v"}
    assert checked.column("n").to_pylist() == [1, 2]


def test_what_a_stage_notes_for_its_counters_is_not_written() -> None:
    noted = table(["a"], [1]).replace_schema_metadata({"k": "v", NOTES_KEY: "{}"})
    assert without_notes(noted).schema.metadata == {b"k": b"v"}
    assert without_notes(noted).equals(noted)


@pytest.fixture
def job(read_toy: ReadToy, tmp_path: Path) -> Job:
    """The job of `shout` over a corpus that was made right here."""
    recipe = read_toy(f"shout.trace={tmp_path}", "shout.trouble=row 7", "shout.kind=data")
    planner = open_planner(recipe)
    first = planner.step(recipe.graph["corpus"], {})
    assert first.artifact and first.identity
    for shard in range(4):
        sources = [f"row {n}" for n in range(5 * shard, 5 * shard + 5)]
        first.artifact.write_shard(f"train-{shard:05}", corpus.make_table(sources))
    first.artifact.complete(**vars(first.identity))
    steps = {"corpus": planner.step(recipe.graph["corpus"], {})}
    return make_job(planner.step(recipe.graph["shout"], steps), threads=1)


def test_a_shard_is_read_run_and_written_with_its_counters(job: Job) -> None:
    record = run_shard(job, "train-00002")
    assert (record.rows, record.counters) == (5, {"tokens": 20})
    shards = ["train-00000", "train-00002", "train-00003"]
    for shard in ("train-00000", "train-00003"):
        run_shard(job, shard)
    assert sorted(job.output.finished_shards()) == shards
    close_shards(job, shards, seconds=1.5)
    assert job.output.manifest().counters == {"tokens": 60}
    assert job.output.read_shard("train-00002").column("loud")[0].as_py() == "ROW 10! of 4"


def test_a_stage_is_not_closed_without_one_of_its_shards(job: Job) -> None:
    """As when another run writes there and removes what it does not know."""
    run_shard(job, "train-00000")
    elsewhere = pickle.loads(pickle.dumps(job))  # noqa: S301
    told = r"shard train-00002, train-00003: vanished from .*shout-.*another run may be writing there: stop one of them"
    with pytest.raises(TaskError, match=told) as caught:
        close_shards(elsewhere, ["train-00000", "train-00002", "train-00003"], 0.0)
    assert not caught.value.retryable
    assert not job.output.is_complete()


def test_an_error_travels_in_words_with_its_traceback(job: Job) -> None:
    with pytest.raises(TaskError) as caught:
        run_shard(job, "train-00001")
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert error.cause == "row 00ff: a row that cannot be"
    assert not error.retryable
    assert "shout.py" in error.trace


def test_a_worker_with_other_code_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pipeline.toy.shout.VERSION", "0")
    with pytest.raises(TaskError, match=r"version 0 of the stage shout, and the run was planned with 1") as caught:
        run_shard(job, "train-00000")
    assert not caught.value.retryable


def test_a_worker_with_other_libraries_is_refused_whenever_it_joined(job: Job) -> None:
    planned = replace(job, identity=replace(job.identity, libraries={"pyarrow": "1.2.3"}))
    told = f"this worker has pyarrow {pa.__version__}, not 1.2.3, with which the stage shout was planned: install"
    with pytest.raises(TaskError, match=re.escape(told)) as caught:
        run_shard(planned, "train-00000")
    assert not caught.value.retryable


def test_a_store_that_failed_for_a_moment_is_tried_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(path: Path, content: bytes) -> None:
        with storage_faults(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr("data.folder.write_atomically", stale)
    with pytest.raises(TaskError, match="cannot be reached: Stale file handle") as caught:
        run_shard(job, "train-00000")
    assert caught.value.retryable


def test_resources_load_once_and_go_when_the_stage_ends(job: Job, tmp_path: Path) -> None:
    cache = ResourceCache(size=1)
    first = cache.get(job)
    assert cache.get(job) is first == shout.Resources(shards=4)
    assert len(list(tmp_path.glob("load-*"))) == 1
    cache.drop("shout")
    cache.get(job)
    assert len(list(tmp_path.glob("load-*"))) == 2


def test_a_step_that_waits_has_no_job(job: Job) -> None:
    node = Node("count", "tests.pipeline.toy.count", "shard", shout.Config(), {})
    with pytest.raises(ValueError, match="waits"):
        make_job(Step(node, "waiting"), threads=1)
