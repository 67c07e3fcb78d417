import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.ids import split_point
from pipeline.cli.tables import plan_table, status_table
from pipeline.planning.plan import Step
from pipeline.planning.scope import open_planner
from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.running.runner import make_job
from pipeline.running.worker import TaskError, TaskStoppedError, close_shards, run_shard, run_whole
from pipeline.terminal.tables import size_text
from tests.pipeline.conftest import ReadToy


class FakeWorker:
    state = SimpleNamespace(tasks={"task": SimpleNamespace(state="executing")})

    def get_current_task(self) -> str:
        return "task"

    def log_event(self, topic: str, event: object) -> None:
        """Nobody listens."""


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributed.get_worker", FakeWorker)


def make(recipe: Recipe, names: Sequence[str], shards: int | None = None) -> None:
    """Makes nodes right here, without a cluster; only so many shards of the last when `shards` is given."""
    for name in names:
        step = plan(recipe)[name]
        if step.state == "done":
            continue
        job = make_job(step, threads=1)
        if step.node.kind == "whole":
            run_whole(job)
            continue
        for shard in list(step.shards)[: shards if name == names[-1] else None]:
            run_shard(job, shard)
        if shards is None or name != names[-1]:
            close_shards(job, list(step.shards), 0.0)


def plan(recipe: Recipe) -> dict[str, Step]:
    return {step.node.name: step for step in open_planner(recipe).plan(recipe.graph)}


def states(recipe: Recipe) -> dict[str, str]:
    return {name: step.state for name, step in plan(recipe).items()}


def test_what_hangs_on_the_unfinished_waits(read_toy: ReadToy) -> None:
    recipe = read_toy()
    assert states(recipe) == {
        "corpus": "to do",
        **dict.fromkeys(("shout", "count", "total", "base", "report"), "waiting"),
    }
    make(recipe, ["corpus", "base", "shout"], shards=3)
    assert states(recipe) == {
        "corpus": "done",
        "shout": "partial",
        "count": "waiting",
        "total": "waiting",
        "base": "done",
        "report": "waiting",
    }
    assert list(plan(recipe)["shout"].finished) == ["train-00000", "train-00001", "train-00002"]


def test_a_change_reaches_only_what_hangs_on_it_and_is_named(read_toy: ReadToy) -> None:
    make(read_toy(), ["corpus", "shout", "count", "total", "base", "report"])
    assert set(states(read_toy()).values()) == {"done"}
    changed = plan(read_toy("shout.mark=?"))
    assert [name for name, step in changed.items() if step.state == "done"] == ["corpus", "base"]
    assert changed["shout"].reasons == ("shout.mark ! -> ?",)
    assert changed["total"].reasons == ()
    lines = {line.split()[0]: line for line in plan_table(list(changed.values())).splitlines()}
    assert "0 of 4" in lines["shout"]
    # Of all that is missing only the nearest: `total` needs shout too, but waits for count.
    assert lines["total"].endswith(" waits for count")
    assert lines["report"].endswith(" waits for total")


def test_equal_content_of_another_making_re_runs_nothing_behind_it(read_toy: ReadToy) -> None:
    make(read_toy(), ["corpus", "shout", "count", "total", "base", "report"])
    # `seconds` changes the fingerprint of shout, but not what it writes.
    recipe = read_toy("shout.seconds=0.001")
    assert states(recipe)["shout"] == "to do"
    make(recipe, ["shout"])
    assert set(states(recipe).values()) == {"done"}


def test_who_tells_how_its_inputs_were_made_is_made_again_when_that_changed(
    read_toy: ReadToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.pipeline.toy.count.TELLS_OF_INPUTS", True, raising=False)
    make(read_toy(), ["corpus", "shout", "count", "total", "base", "report"])
    assert set(states(read_toy()).values()) == {"done"}
    recipe = read_toy("shout.seconds=0.001")
    make(recipe, ["shout"])
    assert plan(recipe)["count"].reasons == ("shout was made anew",)
    make(recipe, ["count"])
    assert set(states(recipe).values()) == {"done"}


def test_who_reads_columns_only_is_not_made_again_for_another_file(read_toy: ReadToy) -> None:
    make(read_toy(), ["corpus", "shout", "count", "total", "base", "report"])
    # A file beside the same rows, as a dataset's card.
    recipe = read_toy("corpus.title=a better name")
    make(recipe, ["corpus"])
    assert states(recipe)["base"] == "done"
    assert states(recipe)["shout"] == "to do"
    rows = read_toy("corpus.rows=21")
    make(rows, ["corpus"])
    assert states(rows)["base"] == "to do"


def test_what_a_shard_stage_does_not_read_makes_it_not_anew(read_toy: ReadToy, monkeypatch: pytest.MonkeyPatch) -> None:
    make(read_toy(), ["corpus", "shout", "count"])
    # The file beside the rows is none of count's, though it is one for who loads all of the corpus.
    recipe = read_toy("corpus.title=a better name")
    make(recipe, ["corpus", "shout"])
    assert states(recipe)["count"] == "done"
    monkeypatch.setattr("tests.pipeline.toy.count.RESOURCES", ("corpus",))
    assert states(recipe)["count"] == "to do"


REAL = """
[run]
store = "{folder}/runs"
[corpus]
source_language = "en"
target_language = "de"
test_fraction = 0.2
valid_fraction = 0.1
shard_rows = 10
[[corpus.sources]]
kind = "tsv"
name = "made-up"
file = "{file}"
target_column = 1
[tokenizer]
kind = "none"
[teacher]
kind = "ctranslate2"
path = "{teacher}"
[decode]
num_hypotheses = 2
max_batch_tokens = 128
max_decoding_length = 8
[select]
metric = "score"
[score]
k = 2
backend = "ctranslate2"
[filter.rules]
target_length = {{max = 7}}
"""
MADE = ["corpus", "tokenizer", "teacher", "calibrate", "decode", "select", "scorer", "score"]


def test_decode_and_score_follow_what_they_read_of_the_corpus(tmp_path: Path, tiny_teacher: Path) -> None:
    words = [f"w{number % 7} w{number}" for number in range(40)]
    # Of each split and in order of the rows, so that a change is one of the train split.
    train = next(word for word in words if split_point(word) >= 0.3)
    test = next(word for word in words if split_point(word) < 0.2)

    def recipe(name: str, *rows: str) -> Recipe:
        (tmp_path / name).write_text("".join(f"{row}\n" for row in rows))
        (tmp_path / "real.toml").write_text(REAL.format(folder=tmp_path, file=tmp_path / name, teacher=tiny_teacher))
        return read_recipe(tmp_path / "real.toml")

    def left(of: Recipe) -> list[str]:
        """What is to be made again when the corpus is there anew."""
        assert states(of)["corpus"] == "to do"
        make(of, ["corpus"])
        return [name for name in MADE if states(of)[name] != "done"]

    rows = {word: f"{word}\tSatz {word}" for word in words}
    make(recipe("a.tsv", *rows.values()), MADE)
    assert left(recipe("b.tsv", *rows.values())) == []
    assert left(recipe("a.tsv", *rows.values(), "\tno source")) == []
    assert left(recipe("a.tsv", *(rows | {test: f"{test}\tanders"}).values())) == []
    assert left(recipe("a.tsv", *(row for word, row in rows.items() if word != test))) == []
    changed = recipe("a.tsv", *(rows | {train: f"{train}\tanders"}).values())
    assert left(changed) == ["select", "scorer", "score"]
    make(changed, ["select"])
    assert states(changed)["scorer"] == states(changed)["score"] == "done"
    less = recipe("a.tsv", *(row for word, row in rows.items() if word != train))
    assert left(less) == ["calibrate", "decode", "select", "scorer", "score"]


def test_versions_libraries_and_files_are_reasons(
    read_toy: ReadToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("alpha")
    recipe = read_toy(f"corpus.words={words}")
    make(recipe, ["corpus", "base"])
    words.write_text("omega")
    assert plan(recipe)["corpus"].reasons == ("a file it reads was changed",)
    words.write_text("alpha")
    assert plan(recipe)["base"].state == "done"
    monkeypatch.setattr("tests.pipeline.toy.total.VERSION", "2")
    monkeypatch.setattr("tests.pipeline.toy.total.LIBRARIES", ("numpy",))
    reasons = plan(recipe)["base"].reasons
    assert reasons[0] == "version 1 -> 2"
    assert reasons[1].startswith("numpy (absent) -> ")


def test_digests_of_files_are_remembered_from_plan_to_plan(
    read_toy: ReadToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("alpha")
    monkeypatch.setattr("data.fingerprint.SETTLED_SECONDS", -1.0)
    plan(read_toy(f"corpus.words={words}"))
    assert str(words) in (tmp_path / "cache" / "potstill" / "digests.json").read_text()


def test_a_whole_stage_that_is_repeated_leaves_what_is_complete(read_toy: ReadToy) -> None:
    recipe = read_toy()
    make(recipe, ["corpus"])
    step = plan(recipe)["base"]
    run_whole(make_job(step, threads=1))
    assert step.artifact
    before = {path: path.stat().st_mtime_ns for path in Path(step.artifact.url).iterdir()}
    run_whole(make_job(step, threads=1))
    assert {path: path.stat().st_mtime_ns for path in Path(step.artifact.url).iterdir()} == before


def test_a_plan_changes_nothing_in_a_store_that_lost_a_shard(read_toy: ReadToy) -> None:
    recipe = read_toy()
    make(recipe, ["corpus", "shout"])
    shout = plan(recipe)["shout"].artifact
    assert shout
    (Path(shout.url) / "train-00001.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in Path(shout.url).rglob("*")}
    step = plan(recipe)["shout"]
    assert (step.state, list(step.finished)) == ("partial", ["train-00000", "train-00002", "train-00003"])
    assert {path: path.stat().st_mtime_ns for path in Path(shout.url).rglob("*")} == before


def test_a_file_that_changes_while_it_is_read_leaves_nothing_complete(read_toy: ReadToy, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("alpha")
    recipe = read_toy(f"corpus.words={words}")
    planned = make_job(plan(recipe)["corpus"], threads=1)
    words.write_text("changed")
    with pytest.raises(TaskError, match=r"words\.txt: changed while the stage corpus was reading"):
        run_whole(planned)
    assert not planned.output.is_complete()
    assert planned.output.finished_shards() == {}
    words.write_text("alpha")
    assert plan(recipe)["corpus"].state == "to do"


@pytest.mark.parametrize("task", [None, SimpleNamespace(state="cancelled")])
def test_a_whole_stage_for_which_nobody_waits_ends(
    task: object, read_toy: ReadToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_toy()
    make(recipe, ["corpus"])
    monkeypatch.setattr(FakeWorker, "state", SimpleNamespace(tasks={"task": task} if task else {}))
    with pytest.raises(TaskStoppedError, match="nobody waits for it"):
        run_whole(make_job(plan(recipe)["base"], threads=1))
    assert plan(recipe)["base"].state == "to do"


@pytest.mark.parametrize("newest", [2, 3])
def test_what_changed_is_told_against_the_artefact_made_last(read_toy: ReadToy, newest: int) -> None:
    for factor in (2, 3):
        recipe = read_toy(f"base.factor={factor}")
        make(recipe, ["corpus", "base"])
        artifact = plan(recipe)["base"].artifact
        assert artifact
        path = Path(artifact.url) / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["created"] = f"20{factor if newest == 3 else 9 - factor:02}-01-01T00:00:00+00:00"
        path.write_text(json.dumps(manifest))
    assert plan(read_toy("base.factor=5"))["base"].reasons == (f"base.factor {newest} -> 5",)


def test_an_input_with_other_content_is_a_reason(read_toy: ReadToy) -> None:
    make(read_toy(), ["corpus", "base"])
    recipe = read_toy("corpus.prefix=line")
    make(recipe, ["corpus"])
    assert plan(recipe)["base"].reasons == ("corpus was made anew",)


def test_the_manifest_tells_all_that_went_into_the_fingerprint(read_toy: ReadToy) -> None:
    recipe = read_toy()
    make(recipe, ["corpus", "base"])
    steps = plan(recipe)
    artifact = steps["base"].artifact
    assert artifact
    manifest = json.loads((Path(artifact.url) / "manifest.json").read_text())
    assert manifest["stage"] == "base"
    assert manifest["config"] == {"data": "rows", "factor": 1, "seconds": 0.0, "trace": "", "meet": 0}
    corpus = steps["corpus"].artifact
    assert corpus
    assert manifest["inputs"] == {"corpus": corpus.manifest().columns_digest({"train": ("source",)})}
    assert manifest["metrics"] == {"total": 20}
    assert artifact.url.endswith(f"base-{manifest['fingerprint']}")


def test_status_tells_rows_and_sizes(read_toy: ReadToy) -> None:
    recipe = read_toy()
    make(recipe, ["corpus", "shout"], shards=1)
    corpus, shout = (line.split() for line in status_table(list(plan(recipe).values())).splitlines()[1:3])
    assert corpus[:3] == ["corpus", "done", "21"]
    assert shout[:5] == ["shout", "partial", "5", "of", "20"]
    assert [size_text(size) for size in (512, 1_400_000, 3e12)] == ["512 B", "1.4 MB", "3.0 TB"]
