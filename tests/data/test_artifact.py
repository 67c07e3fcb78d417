"""The store as its users see it: what is written comes back, and what was changed since is named."""

import hashlib
import io
import itertools
import os
import pickle
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DataError
from data.store import Artifact, Manifest, Store

FINGERPRINT = "0123456789abcdef0123"
MANIFEST_FIELDS: dict[str, Any] = {
    "stage": "decode",
    "version": "1",
    "config": {"beam_size": 5},
    "inputs": {"corpus": "ab"},
    "libraries": {"ctranslate2": "4.8.5"},
}


def _table(rows: int = 3, first: int = 0) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table({"id": [f"{n:032x}" for n in numbers], "text": [f"line {n}" for n in numbers], "n": list(numbers)})


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    cache = tmp_path / "cache"
    if request.param == "local":
        yield Store(str(tmp_path / "runs"), cache_folder=cache)
        return
    url = f"memory://{uuid.uuid4().hex}"
    yield Store(url, cache_folder=cache)
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)


@pytest.fixture
def artifact(store: Store) -> Artifact:
    return store.artifact("decode", FINGERPRINT)


def _read(artifact: Artifact, name: str) -> bytes:
    with fsspec.open(f"{artifact.url}/{name}", "rb") as stream:
        return bytes(stream.read())


def _overwrite(artifact: Artifact, name: str, content: bytes) -> None:
    with fsspec.open(f"{artifact.url}/{name}", "wb") as stream:
        stream.write(content)


def _delete(artifact: Artifact, name: str) -> None:
    files, path = fsspec.core.url_to_fs(f"{artifact.url}/{name}")
    files.rm_file(path)


def _names(artifact: Artifact) -> set[str]:
    files, root = fsspec.core.url_to_fs(artifact.url)
    return {path[len(root) :].lstrip("/") for path in files.find(root)}


def _finished(artifact: Artifact) -> Artifact:
    for number in range(3):
        artifact.write_shard(f"train-{number:05}", _table(first=10 * number), {"rows": 3, "tokens": 1.5})
    artifact.write_shard("valid-00000", _table(2, first=90), {"rows": 2})
    artifact.complete(**MANIFEST_FIELDS)
    return artifact


def test_what_is_written_is_read_back(artifact: Artifact) -> None:
    _finished(artifact)
    assert artifact.shard_names() == ["train-00000", "train-00001", "train-00002", "valid-00000"]
    assert artifact.shard_names("train") == ["train-00000", "train-00001", "train-00002"]
    assert artifact.read_shard("train-00001").equals(_table(first=10))
    assert artifact.read_shard("train-00001", ["n", "id"]).equals(_table(first=10).select(["n", "id"]))
    assert pa.concat_tables(artifact.tables("train", ["n"]))["n"].to_pylist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]


def test_records_hold_the_digest_of_the_files_bytes(artifact: Artifact) -> None:
    for shard in _finished(artifact).manifest().shards:
        content = _read(artifact, f"{shard.name}.parquet")
        assert shard.digest == hashlib.blake2b(content, digest_size=32).hexdigest()
        assert shard.bytes == len(content)
        assert shard.rows == pq.read_metadata(io.BytesIO(content)).num_rows


def test_only_the_manifest_makes_it_complete(artifact: Artifact) -> None:
    artifact.write_shard("train-00000", _table())
    assert not artifact.is_complete()
    with pytest.raises(DataError, match=r"not complete: it has no manifest\.json; run the stage decode first"):
        artifact.read_shard("train-00000")
    assert ".records/train-00000.parquet.json" in _names(artifact)
    artifact.complete(**MANIFEST_FIELDS)
    assert artifact.is_complete()
    assert _names(artifact) == {"train-00000.parquet", "manifest.json"}


def test_the_manifest_keeps_what_it_was_given_and_sums_counters(artifact: Artifact) -> None:
    manifest = _finished(artifact).manifest()
    assert manifest.counters == {"rows": 11, "tokens": 4.5}
    assert (manifest.stage, manifest.fingerprint, manifest.config) == ("decode", FINGERPRINT, {"beam_size": 5})
    assert (manifest.inputs, manifest.libraries) == ({"corpus": "ab"}, {"ctranslate2": "4.8.5"})


def test_the_content_digest_is_of_content_alone(store: Store) -> None:
    def made(node: str, first: int, **more: Any) -> Manifest:
        artifact = store.artifact(node, FINGERPRINT)
        artifact.write_shard("train-00000", _table(first=first))
        (artifact.work_path() / "model.bin").write_bytes(b"weights")
        return artifact.complete(**MANIFEST_FIELDS, **more)

    quick, slow = made("one", 0), made("two", 0, metrics={"loss": 1.5}, seconds=9.0)
    assert quick.content_digest() == slow.content_digest()
    assert quick.content_digest() != made("three", 1).content_digest()
    renamed = quick.model_copy(update={"files": [quick.files[0].model_copy(update={"name": "other.bin"})]})
    assert quick.content_digest() != renamed.content_digest()


def test_digests_of_columns_are_kept_by_split(store: Store) -> None:
    def made(node: str, valid: int = 2, **columns: pa.Array) -> Manifest:
        artifact = store.artifact(node, FINGERPRINT)
        for name in ("train-00000", "train-00001", "valid-00000"):
            table = _table(valid if name.startswith("valid") else 3)
            for column, values in columns.items():
                if name == "train-00001":
                    table = table.set_column(table.column_names.index(column), column, values)
            artifact.write_shard(name, table)
        return artifact.complete(**MANIFEST_FIELDS)

    plain, valid, other = made("one"), made("two", valid=1), made("three", n=pa.array([7, 8, 9]))
    assert {split: list(columns) for split, columns in plain.columns.items()} == {
        "train": ["id", "text", "n"],
        "valid": ["id", "text", "n"],
    }
    assert plain.columns_digest({"train": ["id", "n"]}) == valid.columns_digest({"train": ["id", "n"]})
    assert plain.columns_digest({"valid": ["id"]}) != valid.columns_digest({"valid": ["id"]})
    assert plain.columns_digest({"train": ["id", "text"]}) == other.columns_digest({"train": ["id", "text"]})
    assert plain.columns_digest({"train": ["id", "n"]}) != other.columns_digest({"train": ["id", "n"]})
    assert plain.columns_digest({"test": ["id"]}) == plain.columns_digest({"test": ["n"]})
    with pytest.raises(DataError, match=r"no digest of column score of the split train .* has id, text, n"):
        plain.columns_digest({"train": ["id", "score"]})


def test_metrics_may_hold_numbers_of_numpy_but_nothing_without_json(store: Store, artifact: Artifact) -> None:
    metrics = {"loss": np.float32(0.5), "curve": np.arange(2)}
    assert artifact.complete(**MANIFEST_FIELDS, metrics=metrics).metrics == {"loss": 0.5, "curve": [0, 1]}
    with pytest.raises(DataError, match="manifest of decode holds what JSON cannot"):
        store.artifact("other", FINGERPRINT).complete(**MANIFEST_FIELDS, metrics={"model": object()})


@pytest.mark.parametrize("damage", ["truncated", "altered", "altered after it was read"])
def test_a_damaged_shard_is_named_with_both_digests_and_what_to_do(artifact: Artifact, damage: str) -> None:
    expected = {shard.name: shard for shard in _finished(artifact).manifest().shards}["train-00001"]
    content = _read(artifact, "train-00001.parquet")
    if damage == "altered after it was read":
        artifact.read_shard("train-00001")
    middle = len(content) // 2
    damaged = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    damaged = content[:-100] if damage == "truncated" else damaged
    _overwrite(artifact, "train-00001.parquet", damaged)
    with pytest.raises(DataError) as caught:
        artifact.read_shard("train-00001", ["n"])
    found = hashlib.blake2b(damaged, digest_size=32).hexdigest()
    assert caught.value.shard == f"{artifact.url}/train-00001.parquet"
    for part in (f"found {len(damaged)} bytes", found, f"{expected.bytes} bytes", expected.digest, "delete this file"):
        assert part in str(caught.value)
    assert artifact.read_shard("train-00000").num_rows == 3
    assert [fault.split(": ")[0] for fault in artifact.verify()] == [f"{artifact.url}/train-00001.parquet"]


def test_verify_says_nothing_of_a_sound_artifact_and_names_what_is_gone(artifact: Artifact) -> None:
    (artifact.work_path() / "a.txt").write_text("a")
    _finished(artifact)
    assert artifact.verify() == []
    _delete(artifact, "train-00002.parquet")
    _overwrite(artifact, "a.txt", b"b")
    gone, altered = sorted(artifact.verify(), key=lambda fault: "a.txt" in fault)
    assert "train-00002.parquet: is not there; run again" in gone
    assert "a.txt: is damaged or was altered: found 1 bytes" in altered


def test_a_shard_or_column_that_does_not_exist_is_named(artifact: Artifact) -> None:
    _finished(artifact)
    with pytest.raises(DataError, match=r"shard train-7: .*no such shard among its 4"):
        artifact.read_shard("train-7")
    with pytest.raises(DataError, match=re.escape("train-00000.parquet: has no column hypotheses; it has id, text, n")):
        artifact.read_shard("train-00000", ["id", "hypotheses"])
    _delete(artifact, "train-00000.parquet")
    with pytest.raises(DataError, match=re.escape("train-00000.parquet: is not there")):
        artifact.read_shard("train-00000")


def test_only_whole_shards_count_as_finished(artifact: Artifact) -> None:
    for number in range(4):
        artifact.write_shard(f"train-{number:05}", _table(first=number))
    _delete(artifact, ".records/train-00000.parquet.json")
    _overwrite(artifact, "train-00001.parquet", _read(artifact, "train-00002.parquet"))
    _overwrite(artifact, ".records/train-00003.parquet.json", b'{"name": "train-')
    assert list(artifact.finished_shards()) == ["train-00002"]


def test_records_that_go_while_they_are_listed_count_as_absent(
    store: Store, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        artifact.write_shard(f"train-{number:05}", _table(first=number))
    looking = store.artifact(artifact.node, artifact.fingerprint)
    listed = looking._folder.names()
    monkeypatch.setattr(type(looking._folder), "names", lambda folder: listed)
    # As the run does that completes it.
    _delete(artifact, ".records/train-00000.parquet.json")
    assert list(looking.finished_shards()) == ["train-00001"]


def test_a_record_under_another_shards_name_counts_for_neither(artifact: Artifact) -> None:
    artifact.write_shard("train-00000", _table())
    artifact.write_shard("train-00001", _table())
    record = _read(artifact, ".records/train-00000.parquet.json")
    _overwrite(artifact, ".records/train-00001.parquet.json", record)
    assert list(artifact.finished_shards()) == ["train-00000"]
    with pytest.raises(DataError, match="shard train-00001: vanished"):
        artifact.complete(**MANIFEST_FIELDS)


def test_a_complete_artifact_that_lost_a_shard_makes_only_this_one_again(artifact: Artifact) -> None:
    before = _finished(artifact).manifest()
    assert set(artifact.finished_shards()) == {"train-00000", "train-00001", "train-00002", "valid-00000"}
    assert artifact.is_complete()
    _delete(artifact, "train-00001.parquet")
    assert not artifact.is_complete()
    assert set(artifact.finished_shards()) == {"train-00000", "train-00002", "valid-00000"}
    # Who only looks changes nothing.
    assert "manifest.json" in _names(artifact)
    artifact.reopen()
    # Before any of many processes writes: none of them must find a manifest.
    assert "manifest.json" not in _names(artifact)
    assert set(artifact.finished_shards()) == {"train-00000", "train-00002", "valid-00000"}
    artifact.write_shard("train-00001", _table(first=10), {"rows": 3, "tokens": 1.5})
    after = artifact.complete(**MANIFEST_FIELDS)
    assert (after.content_digest(), after.counters) == (before.content_digest(), before.counters)
    assert after.columns == before.columns


def test_a_complete_artifact_is_not_written_to(artifact: Artifact) -> None:
    _finished(artifact)
    with pytest.raises(DataError, match="is complete and is not written to"):
        artifact.write_shard("train-00001", _table())
    with pytest.raises(DataError, match="is complete and is not written to"):
        artifact.discard_shards()
    before = artifact.manifest()
    assert artifact.complete(**MANIFEST_FIELDS, seconds=99.0) == before == artifact.manifest()


def test_a_whole_stage_that_starts_anew_leaves_no_shard_of_before(artifact: Artifact) -> None:
    artifact.write_shard("train-00000", _table())
    artifact.write_shard("train-00001", _table())
    artifact.write_shard("train-00002", _table())
    _delete(artifact, ".records/train-00002.parquet.json")
    (artifact.work_path() / "kept.txt").write_text("a checkpoint, say")
    artifact.discard_shards()
    artifact.write_shard("train-00000", _table())
    manifest = artifact.complete(**MANIFEST_FIELDS)
    assert [shard.name for shard in manifest.shards] == ["train-00000"]
    assert [file.name for file in manifest.files] == ["kept.txt"]


def test_complete_refuses_when_a_recorded_shard_vanished(artifact: Artifact) -> None:
    artifact.write_shard("train-00000", _table())
    _delete(artifact, "train-00000.parquet")
    with pytest.raises(DataError, match="shard train-00000: vanished"):
        artifact.complete(**MANIFEST_FIELDS)


def test_two_that_write_the_same_artefact_do_not_complete_half_of_it(store: Store, artifact: Artifact) -> None:
    other = store.artifact(artifact.node, artifact.fingerprint)
    for number in range(10):
        artifact.write_shard(f"train-{number:05}", _table(first=number))
    other.discard_shards()
    other.write_shard("train-00000", _table(first=0))
    told = r"shard train-00001, .*, train-00008 and 1 more: vanished from .*another run may be writing there"
    with pytest.raises(DataError, match=told):
        artifact.complete(**MANIFEST_FIELDS)
    other.write_shard("train-00001", _table(first=99))
    with pytest.raises(DataError, match="shard train-00001, "):
        artifact.complete(**MANIFEST_FIELDS)
    with pytest.raises(DataError, match="shard train-00002: vanished"):
        other.complete(**MANIFEST_FIELDS, expected=["train-00000", "train-00002"])
    assert other.complete(**MANIFEST_FIELDS, expected=["train-00000"]).counters == {}


@pytest.mark.parametrize("name", ["../train-00000", "/train-00000", "a/b", ".hidden", "", "a\0b", "..", "tür"])
def test_names_that_leave_the_folder_are_refused(artifact: Artifact, name: str) -> None:
    with pytest.raises(DataError, match="no name for a shard"):
        artifact.write_shard(name, _table())
    _finished(artifact)
    manifest = artifact.manifest()
    bad_shard = manifest.model_copy(update={"shards": [manifest.shards[0].model_copy(update={"name": name})]})
    _overwrite(artifact, "manifest.json", bad_shard.model_dump_json().encode())
    with pytest.raises(DataError, match="no name for a shard"):
        artifact.manifest()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a//b", "a/./b", "", "a\\b", "a/.."])
def test_file_names_that_leave_the_folder_are_refused(artifact: Artifact, name: str) -> None:
    manifest = _finished(artifact).manifest().model_dump()
    manifest["files"] = [{"name": name, "bytes": 1, "digest": "0"}]
    _overwrite(artifact, "manifest.json", Manifest.model_validate(manifest).model_dump_json().encode())
    with pytest.raises(DataError, match="no name for a file"):
        artifact.path()


def test_a_manifest_that_is_none_is_named(artifact: Artifact) -> None:
    _finished(artifact)
    _overwrite(artifact, "manifest.json", _read(artifact, "manifest.json")[:-20])
    with pytest.raises(DataError, match=r"manifest\.json is no manifest \(.*\); delete it and run again"):
        artifact.manifest()


def test_files_of_a_whole_stage_are_recorded_and_scratch_is_not(store: Store, artifact: Artifact) -> None:
    work = artifact.work_path()
    (work / "tokenizer").mkdir()
    (work / "tokenizer" / "source.spm").write_bytes(b"pieces")
    (work / ".checkpoints").mkdir()
    (work / ".checkpoints" / "step-500.pt").write_bytes(b"state")
    killed_and_back = store.artifact("decode", FINGERPRINT)
    assert (killed_and_back.work_path() / ".checkpoints" / "step-500.pt").read_bytes() == b"state"
    manifest = killed_and_back.complete(**MANIFEST_FIELDS)
    assert [(file.name, file.bytes) for file in manifest.files] == [("tokenizer/source.spm", 6)]
    assert _names(artifact) == {"tokenizer/source.spm", "manifest.json"}
    assert not (work / ".checkpoints").exists()
    assert (artifact.path() / "tokenizer" / "source.spm").read_bytes() == b"pieces"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_files_of_a_whole_stage_are_on_disk_before_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = Store(str(tmp_path)).artifact("teacher", FINGERPRINT)
    (artifact.work_path() / "model").mkdir()
    (artifact.work_path() / "model" / "model.bin").write_bytes(b"weights")
    flushed: list[str] = []
    flush = os.fsync

    def recorded(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    artifact.complete(**MANIFEST_FIELDS)
    before, after = flushed[:3], flushed[3:]
    assert before == ["model.bin", Path(artifact.url).name, "model"]
    assert after[0].startswith(".manifest.json.")


def test_altered_files_of_a_whole_stage_are_not_handed_out(artifact: Artifact) -> None:
    (artifact.work_path() / "model.bin").write_bytes(b"weights")
    artifact.complete(**MANIFEST_FIELDS)
    _overwrite(artifact, "model.bin", b"wEights")
    with pytest.raises(DataError, match=r"model\.bin: is damaged or was altered"):
        artifact.path()


def test_a_link_to_a_folder_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (artifact.work_path() / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="model is a link to a folder"):
        artifact.complete(**MANIFEST_FIELDS)


def test_an_artifact_travels_to_another_process(artifact: Artifact) -> None:
    _finished(artifact)
    assert pickle.loads(pickle.dumps(artifact)).read_shard("train-00000").equals(_table())  # noqa: S301


def test_the_store_lists_the_artifacts_of_a_node(store: Store) -> None:
    assert store.artifacts("export") == []
    for node, letter in itertools.product(("export", "export_baseline"), "ba"):
        store.artifact(node, letter * 20).write_shard("train-00000", _table())
    assert [found.fingerprint for found in store.artifacts("export")] == ["a" * 20, "b" * 20]
    assert [found.node for found in store.artifacts("export_baseline")] == ["export_baseline"] * 2


@pytest.mark.parametrize(("node", "fingerprint"), [("../x", FINGERPRINT), ("a", "../../x"), ("", "0" * 20), ("a", "0")])
def test_names_of_artifacts_are_checked(store: Store, node: str, fingerprint: str) -> None:
    with pytest.raises(DataError, match="no name for an artefact"):
        store.artifact(node, fingerprint)
