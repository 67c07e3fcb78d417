"""SIGKILL at any moment of writing leaves whole shards alone, and the next run goes on with them.

A helper process forks the writers, so that each costs milliseconds and not an interpreter's start.
"""

import hashlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.store import Manifest, Store

ROOT = Path(__file__).parents[2]
WRITER = """
import hashlib, json, os, random, signal, sys
from pathlib import Path
import pyarrow as pa
import pyarrow.parquet as pq
from data.store import Store

pa.table({"id": ["imports pandas, once and not in every fork"]})

def write():
    artifact = Store(sys.argv[1]).artifact("decode", "0" * 20)
    finished = artifact.finished_shards()
    for number in range(8):
        if f"train-{number:05}" not in finished:
            noise = random.Random(number).randbytes(400_000)
            table = pa.table({"id": [f"{n:032x}" for n in range(20)],
                              "noise": [noise[n * 20_000:][:20_000] for n in range(20)]})
            artifact.write_shard(f"train-{number:05}", table, {"rows": 20})
    return artifact

def finish():
    write().complete(stage="decode", version="1", config={}, inputs={}, libraries={})

def killed_at_call(function, count):
    real, left = getattr(os, function), [count]
    def counting(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(os, function, counting)

def killed_at_line(count):
    left = [count]
    def line(frame, event, argument):
        left[0] -= event == "line"
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return line
    sys.settrace(lambda frame, event, argument: line if "/data/" in frame.f_code.co_filename else None)

def forked(child):
    process = os.fork()
    if process == 0:
        child()
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    _check_whole(Path(Store(sys.argv[1]).artifact("decode", "0" * 20).url))
    return os.WTERMSIG(status)
"""

AT_EVERY_FLUSH = """
# A flush before and after each rename: of the shard's file, its folder, the record's file, its folder.
for count in (1, 2, 3, 4, 5, 6, 9):
    def child():
        killed_at_call("fsync", count)
        write()
    assert forked(child) == signal.SIGKILL, count
"""

# Lines of the store's own code, and not milliseconds: how far those reach depends on the machine's load.
AT_RANDOM = """
for count in random.Random(7).sample(range(1, 400), 12):
    def child():
        killed_at_line(count)
        write()
    forked(child)
"""


def _check_whole(folder: Path) -> set[str]:
    """Every shard under its final name is readable, and every record is true; returns the names recorded."""
    for path in folder.glob("*.parquet"):
        assert pq.read_table(path).num_rows == 20
    records = [
        json.loads(path.read_bytes())["record"] for path in (folder / ".records").glob("*.json") if path.name[0] != "."
    ]
    for record in records:
        content = (folder / f"{record['name']}.parquet").read_bytes()
        assert hashlib.blake2b(content, digest_size=32).hexdigest() == record["digest"]
        assert len(content) == record["bytes"]
    return {record["name"] for record in records}


def _run(script: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-c", WRITER + inspect.getsource(_check_whole) + script, *arguments],
        cwd=ROOT,
        check=True,
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    store = tmp_path_factory.mktemp("unbroken")
    _run("finish()", str(store))
    return Store(str(store)).artifact("decode", "0" * 20).manifest()


@pytest.mark.parametrize("script", [AT_EVERY_FLUSH, AT_RANDOM], ids=["at every flush", "at random"])
def test_a_kill_leaves_whole_shards_and_the_next_run_goes_on(tmp_path: Path, unbroken: Manifest, script: str) -> None:
    artifact = Store(str(tmp_path)).artifact("decode", "0" * 20)
    folder = Path(artifact.url)
    _run(script, str(tmp_path))
    recorded = _check_whole(folder)
    assert recorded
    assert set(artifact.finished_shards()) == recorded
    before = {name: (folder / f"{name}.parquet").stat().st_mtime_ns for name in recorded}
    _run("finish()", str(tmp_path))
    assert artifact.verify() == []
    assert {name: (folder / f"{name}.parquet").stat().st_mtime_ns for name in recorded} == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert artifact.manifest().shards == unbroken.shards
    assert artifact.manifest().content_digest() == unbroken.content_digest()
