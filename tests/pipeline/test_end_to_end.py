"""The whole pipeline as a user runs it: the real command, Dask, teacher, trainer and report, on a small corpus.

And killed in the middle of decode, it leaves the same bytes as a run that was not.
"""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEACHER = ROOT / "recipes" / "teachers" / "en-de"
ACTIONS = {"Turn on": "einschalten", "Turn off": "ausschalten", "Open": "öffnen", "Close": "schließen"}
DEVICES = {
    "the light": "Das Licht",
    "the cover": "Die Abdeckung",
    "the valve": "Das Ventil",
    "the fan": "Den Ventilator",
    "the device {name}": "Das Gerät {name}",
    "all switches": "Alle Schalter",
}
PLACES = {
    "": "",
    " in the kitchen": " in der Küche",
    " in the garden": " im Garten",
    " of {area}": " von {area}",
    " after 10 minutes": " nach 10 Minuten",
}
RECIPE = """
[run]
store = "{store}"

[corpus]
source_language = "en"
target_language = "de"
test_fraction = 0.2
valid_fraction = 0.1
shard_rows = {shard_rows}

[[corpus.sources]]
kind = "tsv"
name = "commands"
file = "{corpus}"
source_column = 0
target_column = 1
licence = "CC0-1.0"

[teacher]
kind = "ctranslate2"
path = "{teacher}"

[tokenizer]
kind = "teacher"

# Each store would measure for itself, and two that chose differently would differ by rounding.
[decode]
max_batch_tokens = 256

[student.model]
width = 32
heads = 2
feed_forward = 64

[student.optimiser]
steps = 30
batch_tokens = 512
report_every = 10
validate_every = 15

[baseline]

[evaluate]
repeats = 2
bootstrap_samples = 100
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus and a recipe for each of two stores."""
    folder = tmp_path_factory.mktemp("end-to-end")
    parts = itertools.product(ACTIONS.items(), DEVICES.items(), PLACES.items())
    lines = [f"{do[0]} {what[0]}{where[0]}\t{what[1]}{where[1]} {do[1]}\n" for do, what, where in parts]
    (folder / "corpus.tsv").write_text("".join(lines), encoding="utf-8")
    for name in ("unbroken", "killed"):
        recipe = RECIPE.format(store=folder / name, corpus=folder / "corpus.tsv", teacher=TEACHER, shard_rows=6)
        (folder / f"{name}.toml").write_text(recipe, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The folder, the unbroken recipe run to its report."""
    _potstill("run", folder / "unbroken.toml", "--plain")
    return folder


def test_a_run_leaves_a_report_with_every_system(finished: Path) -> None:
    metrics = json.loads(_potstill("metrics", finished / "unbroken.toml"))
    systems = metrics["systems"]
    assert {"teacher", "student", "baseline"} <= set(systems)
    for name in ("teacher", "student", "baseline"):
        needed = {"chrf", "bleu", "signatures", "sentences_per_second", "tokens_per_second", "parameters", "bytes"}
        assert needed | {"beam"} <= set(systems[name])
    assert systems["teacher"]["chrf"] > systems["student"]["chrf"], "thirty steps teach next to nothing"
    assert systems["student"]["parameters"] < systems["teacher"]["parameters"] / 5
    page = next((finished / "unbroken").glob("*/report-*/index.html")).read_text(encoding="utf-8")
    assert "English to German" in page


def test_rows_add_up_from_corpus_to_dataset(finished: Path) -> None:
    def rows(stage: str, pattern: str = "train-*.parquet") -> int:
        return sum(pq.read_metadata(path).num_rows for path in (finished / "unbroken").glob(f"*/{stage}-*/{pattern}"))

    read = len(ACTIONS) * len(DEVICES) * len(PLACES)
    assert read == sum(rows("corpus", f"{kind}-*.parquet") for kind in ("train", "valid", "test", "rejects"))
    for stage in ("decode", "select", "score", "measure", "filter"):
        assert rows(stage) == rows("corpus"), stage
    manifest = json.loads(next((finished / "unbroken").glob("*/filter-*/manifest.json")).read_text(encoding="utf-8"))
    assert 0 < rows("dataset") == manifest["metrics"]["accepted"]


def test_a_second_run_does_nothing_and_every_digest_holds(finished: Path) -> None:
    assert "nothing to do" in _potstill("run", finished / "unbroken.toml")
    assert "all as their manifests say" in _potstill("verify", finished / "unbroken.toml")


def test_a_new_threshold_decodes_nothing_again(finished: Path) -> None:
    plan = _potstill("plan", finished / "unbroken.toml", "--set", "filter.rules.length_ratio.max=3")
    states = {line.split()[0]: line for line in plan.splitlines()[1:]}
    assert all(" done " in states[stage] for stage in ("corpus", "teacher", "decode", "select", "score", "measure"))
    assert "to do" in states["filter"]


def test_the_student_translates(finished: Path) -> None:
    student = next((finished / "unbroken").glob("*/export-*/model.bin")).parent
    translated = _potstill("translate", student, text="Turn on the light\n\nOpen the valve\n")
    assert len(translated.split("\n")) == 4
    assert translated.split("\n")[1] == ""


def test_killed_in_the_middle_of_decode_it_ends_with_the_same_bytes(finished: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "run", str(finished / "killed.toml"), "--until", "dataset"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    shards = _wait_for_shards(finished / "killed", process, at_least=2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((finished / "killed").glob("*/decode-*/manifest.json")), "it was killed too late to show anything"

    _potstill("run", finished / "killed.toml", "--until", "dataset", "--plain")

    kept = {path: path.stat().st_mtime_ns for path in shards}
    assert kept == shards, "shards that were whole were made again"
    assert _digests(finished / "killed", "dataset") == _digests(finished / "unbroken", "dataset")


def _wait_for_shards(store: Path, process: subprocess.Popen[bytes], at_least: int) -> dict[Path, int]:
    """Shards of decode that have their record, with the times they were written."""
    while process.poll() is None:
        records = list(store.glob("*/decode-*/.records/*.json"))
        if len(records) >= at_least:
            found = [record.parents[1] / record.name.removesuffix(".json") for record in records]
            return {path: path.stat().st_mtime_ns for path in found}
        time.sleep(0.02)
    raise AssertionError(f"no {at_least} shards of decode before the run ended with {process.poll()}")


def _digests(store: Path, stage: str) -> dict[str, str]:
    folder = next(path.parent for path in store.glob(f"*/{stage}-*/manifest.json"))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _potstill(*arguments: object, text: str | None = None) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
