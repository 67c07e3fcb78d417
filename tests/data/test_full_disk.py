"""A full disk: an error that says where and what to do, nothing half written, nothing finished lost."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import PotstillError
from data.local import storage_faults, write_atomically
from data.store import Artifact, Store

ROOT = Path(__file__).parents[2]


def _table(size: int) -> pa.Table:
    return pa.table({"id": ["a"], "noise": [os.urandom(size)]})


def _complete(artifact: Artifact) -> None:
    artifact.complete(stage="decode", version="1", config={}, inputs={}, libraries={})


def _check_still_sound(artifact: Artifact, finished: set[str]) -> None:
    folder = Path(artifact.url)
    assert {path.stem for path in folder.glob("*.parquet")} == finished
    assert set(artifact.finished_shards()) == finished
    assert list(folder.rglob("*.partial")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True)
    if mount.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    artifact = Store(str(small_disk)).artifact("decode", "0" * 20)
    artifact.write_shard("train-00000", _table(100_000))
    with pytest.raises(PotstillError) as caught:
        artifact.write_shard("train-00001", _table(200_000))
    assert str(caught.value).startswith(f"cannot write {artifact.url}/train-00001.parquet: No space left on device; ")
    assert "free some space and run again: what was finished is kept" in str(caught.value)
    _check_still_sound(artifact, {"train-00000"})
    artifact.write_shard("train-00001", _table(50_000))
    _complete(artifact)
    assert artifact.verify() == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    artifact = Store(str(tmp_path)).artifact("decode", "0" * 20)
    artifact.write_shard("train-00000", _table(10))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(PotstillError, match=r"train-00001.*free some space"):
            artifact.write_shard("train-00001", _table(10))
        with pytest.raises(PotstillError, match=r"manifest.*free some space"):
            _complete(artifact)
    assert not artifact.is_complete()
    _check_still_sound(artifact, {"train-00000"})
    _complete(artifact)
    assert artifact.shard_names() == ["train-00000"]


LIMITED = """
import os, resource, sys
import pyarrow as pa
from data.errors import PotstillError
from data.store import Store
artifact = Store(sys.argv[1]).artifact("decode", "0" * 20)
artifact.write_shard("train-00000", pa.table({"id": ["a"]}))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    artifact.write_shard("train-00001", pa.table({"id": ["a"], "noise": [os.urandom(100_000)]}))
except PotstillError as error:
    sys.stdout.write(str(error))
"""


def test_a_quota_that_cuts_a_file_in_the_middle(tmp_path: Path) -> None:
    assert resource.RLIM_INFINITY in resource.getrlimit(resource.RLIMIT_FSIZE)
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "train-00001.parquet: File too large; the disk is full; free some space" in said
    _check_still_sound(Store(str(tmp_path)).artifact("decode", "0" * 20), {"train-00000"})


def test_an_older_file_survives_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "state.json", b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(PotstillError):
        write_atomically(tmp_path / "state.json", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_place_that_cannot_be_written_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PotstillError, match=r"cannot write .*file/shard: File exists; check that the place exists"):
        write_atomically(tmp_path / "file" / "shard", b"")


def test_what_stages_write_themselves_can_be_guarded_too() -> None:
    message = r"cannot write checkpoint\.pt: Disk quota exceeded; the disk is full"
    with pytest.raises(PotstillError, match=message), storage_faults("checkpoint.pt"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    with pytest.raises(ValueError, match="not of the disk"), storage_faults("checkpoint.pt"):
        raise ValueError("not of the disk")
