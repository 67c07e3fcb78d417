"""Digests against coreutils' b2sum, and a fingerprint that moves with each of its parts and with nothing else."""

import importlib.metadata
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from data.errors import ConfigError, DataError
from data.fingerprint import (
    DigestCache,
    bytes_digest,
    file_digest,
    fingerprint,
    folder_digest,
    library_versions,
    path_digest,
)

PARTS: dict[str, Any] = {
    "stage": "decode",
    "version": "1",
    "config": {"beam_size": 5, "nested": {"a": [1, 2], "b": None}},
    "inputs": {"corpus": "c1", "teacher": "t1"},
    "libraries": {"ctranslate2": "4.8.5"},
    "files": {"teacher.path": "f1"},
}


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 3])
def test_a_files_digest_is_blake2b(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(os.urandom(size))
    oracle = subprocess.run(["b2sum", "-l", "256", str(tmp_path / "file")], capture_output=True, text=True, check=True)
    assert file_digest(tmp_path / "file") == oracle.stdout.split()[0]
    assert bytes_digest((tmp_path / "file").read_bytes()) == oracle.stdout.split()[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing cannot be read: No such file"):
        file_digest(tmp_path / "nothing")
    with pytest.raises(DataError, match="nothing cannot be read"):
        DigestCache(tmp_path / "cache.json").digest(tmp_path / "nothing")
    with pytest.raises(DataError, match="holds no files"):
        folder_digest(tmp_path)


def test_a_folders_digest_is_of_names_and_content_and_not_of_its_place(tmp_path: Path) -> None:
    def made(name: str, files: dict[str, str]) -> str:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return path_digest(tmp_path / name)

    first = made("a", {"x": "1", "deep/y": "2"})
    assert made("b", {"deep/y": "2", "x": "1", ".cache/z": "3"}) == first
    others = [
        made("c", {"x": "1", "deep/y": "3"}),
        made("d", {"x": "1", "y": "2"}),
        made("e", {"x": "2", "deep/y": "1"}),
    ]
    assert len({first, *others}) == 4


def test_a_fingerprint_has_20_hex_digits_and_ignores_the_order_of_keys() -> None:
    backwards = {name: dict(reversed(part.items())) if isinstance(part, dict) else part for name, part in PARTS.items()}
    assert fingerprint(**PARTS) == fingerprint(**backwards)
    assert len(fingerprint(**PARTS)) == 20
    int(fingerprint(**PARTS), 16)


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "select"},
        {"version": "2"},
        {"config": {"beam_size": 4, "nested": {"a": [1, 2], "b": None}}},
        {"config": {"beam_size": 5, "nested": {"a": [2, 1], "b": None}}},
        {"inputs": {"corpus": "c1", "teacher": "t2"}},
        {"inputs": {"corpus": "c1"}},
        {"libraries": {"ctranslate2": "4.8.6"}},
        {"files": {"teacher.path": "f2"}},
        {"libraries": {}, "files": {"ctranslate2": "4.8.5", "teacher.path": "f1"}},
    ],
)
def test_each_part_moves_the_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(**PARTS) != fingerprint(**{**PARTS, **change})


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    """Whoever changes this makes every run of every user start over."""
    canonical = json.dumps(PARTS, sort_keys=True, separators=(",", ":"))
    oracle = subprocess.run(["b2sum", "-l", "256"], input=canonical, capture_output=True, text=True, check=True)
    assert fingerprint(**PARTS) == oracle.stdout[:20]


def test_library_versions_names_all_that_are_missing() -> None:
    assert library_versions(["pyarrow"]) == {"pyarrow": importlib.metadata.version("pyarrow")}
    with pytest.raises(ConfigError) as caught:
        library_versions(["no-such-b", "pyarrow", "no-such-a"])
    assert [fault.split()[1] for fault in caught.value.faults] == ["no-such-a", "no-such-b"]


def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10)


def test_a_digest_is_remembered_and_the_file_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big, memory = tmp_path / "big", tmp_path / "cache" / "digests.json"
    big.write_text("content")
    _later(monkeypatch)
    cache = DigestCache(memory)
    real = cache.digest(big)
    cache.save()
    assert real == file_digest(big)
    memory.write_text(memory.read_text().replace(real, "remembered"))
    assert DigestCache(memory).digest(big) == "remembered"
    os.utime(big, ns=(0, 0))
    assert DigestCache(memory).digest(big) == real
    assert folder_digest(tmp_path / "cache", DigestCache(memory)) == folder_digest(tmp_path / "cache")


def test_a_memory_that_cannot_be_written_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "big").write_text("content")
    (tmp_path / "file").write_text("no folder")
    _later(monkeypatch)
    cache = DigestCache(tmp_path / "file" / "digests.json")
    cache.digest(tmp_path / "big")
    cache.save()
    cache.save()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "digests of external files are not remembered, so each plan reads these anew"
    ]


def test_a_file_of_just_now_is_not_remembered(tmp_path: Path) -> None:
    """Within the clock's resolution it could change again and look the same."""
    (tmp_path / "big").write_text("content")
    cache = DigestCache(tmp_path / "digests.json")
    cache.digest(tmp_path / "big")
    cache.save()
    assert not (tmp_path / "digests.json").exists()


@pytest.mark.parametrize("content", ["", "no json", "[1]", '{"/a": 1}', '{"/a": [1, 2]}'])
def test_a_damaged_memory_counts_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "digests.json").write_text(content)
    (tmp_path / "big").write_text("content")
    assert DigestCache(tmp_path / "digests.json").digest(tmp_path / "big") == file_digest(tmp_path / "big")
