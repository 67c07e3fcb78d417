"""What only a store behind a URL has: a local work folder, an upload, and a download that is kept."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data.artifact import _manifest_at
from data.errors import DataError, PotstillError, StorageError
from data.store import Artifact, Store

FIELDS: dict[str, Any] = {"stage": "teacher", "version": "1", "config": {}, "inputs": {}, "libraries": {}}


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    made = Store(f"memory://{uuid.uuid4().hex}", cache_folder=tmp_path).artifact("teacher", "0" * 20)
    (made.work_path() / "model.bin").write_bytes(b"weights")
    made.complete(**FIELDS)
    return made


def _remote(artifact: Artifact) -> Any:
    return fsspec.filesystem("memory")


def test_files_are_uploaded_and_the_work_folder_goes(artifact: Artifact, tmp_path: Path) -> None:
    assert _remote(artifact).cat_file(f"{artifact.url}/model.bin") == b"weights"
    assert list(tmp_path.rglob("work")) == []


def test_files_are_downloaded_once(artifact: Artifact) -> None:
    first = (artifact.path() / "model.bin").stat()
    _remote(artifact).rm_file(f"{artifact.url}/model.bin")
    second = (artifact.path() / "model.bin").stat()
    assert (first.st_ino, first.st_mtime_ns) == (second.st_ino, second.st_mtime_ns)


def test_a_local_copy_that_was_altered_is_fetched_again(artifact: Artifact) -> None:
    (artifact.path() / "model.bin").write_bytes(b"wEights")
    assert (artifact.path() / "model.bin").read_bytes() == b"weights"


def test_a_file_that_was_altered_or_lost_there_is_not_kept_here(artifact: Artifact, tmp_path: Path) -> None:
    _remote(artifact).pipe_file(f"{artifact.url}/model.bin", b"wEights")
    with pytest.raises(DataError, match=r"teacher-0{20}/model\.bin: is damaged or was altered"):
        artifact.path()
    _remote(artifact).rm_file(f"{artifact.url}/model.bin")
    with pytest.raises(DataError, match=r"model\.bin: is not there"):
        artifact.path()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_cache_folder_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    artifact = Store(f"memory://{uuid.uuid4().hex}").artifact("teacher", "0" * 20)
    assert artifact.work_path().is_relative_to(tmp_path / "potstill")


_READS: list[tuple[str, Callable[[Store, Artifact], object]]] = [
    ("find", lambda store, artifact: artifact.is_complete()),
    ("info", lambda store, artifact: artifact.was_completed()),
    ("ls", lambda store, artifact: store.artifacts("teacher")),
    ("cat_file", lambda store, artifact: artifact.manifest()),
    ("open", lambda store, artifact: artifact.verify()),
]


@pytest.mark.parametrize(("call", "read"), _READS, ids=[call for call, _ in _READS])
@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (PermissionError(13, "Permission denied"), DataError, "cannot be read: Permission denied"),
        (TimeoutError("slow"), StorageError, "cannot be reached: slow; try again"),
        (RuntimeError("no credentials"), StorageError, "cannot be reached: RuntimeError: no credentials; check run.st"),
    ],
    ids=["denied", "slow", "of its own"],
)
def test_faults_of_a_store_come_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    read: Callable[[Store, Artifact], object],
    fault: Exception,
    kind: type[PotstillError],
    told: str,
) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}", cache_folder=tmp_path)
    artifact = store.artifact("teacher", "0" * 20)
    (artifact.work_path() / "model.bin").write_bytes(b"weights")
    artifact.complete(**FIELDS)

    def failing(*_: object, **__: object) -> None:
        raise fault

    # Not the one that is remembered.
    monkeypatch.setattr("data.artifact._manifest_at", _manifest_at.__wrapped__)
    monkeypatch.setattr(MemoryFileSystem, call, failing)
    with pytest.raises(kind, match=f"{store.url}.*{told}"):
        read(store, artifact)


def test_a_file_that_cannot_be_removed_is_told(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    _remote(artifact).rm_file(f"{artifact.url}/model.bin")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(MemoryFileSystem, "rm_file", denied)
    with pytest.raises(PotstillError, match=r"cannot write .*manifest\.json: Permission denied; check that"):
        artifact.work_path()
