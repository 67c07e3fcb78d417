"""A teacher's export: all files that translate or none, and words for a place where it cannot be."""

import shutil
from pathlib import Path

import pytest

from data.artifact import Artifact
from data.errors import DataError, PotstillError
from stages.teacher.export import export_teacher
from tests.fixtures.artifacts import closed, new_artifact

WANTED = {"model.bin": b"weights", "potstill.json": b"{}", "tokenizer/source.spm": b"pieces"}


@pytest.fixture
def teacher(tmp_path: Path) -> Artifact:
    output = new_artifact(tmp_path / "store", "teacher")
    for name, content in (WANTED | {"checkpoint.pt": b"state", "training.jsonl": b"{}"}).items():
        path = output.work_path() / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return closed(output)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["new", "deep/below", "empty"])
def test_what_translates_is_copied_to_a_new_or_empty_folder(teacher: Artifact, tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    assert sorted(export_teacher(teacher, tmp_path / place)) == sorted(WANTED)
    assert _files(tmp_path / place) == WANTED


def test_an_export_that_was_cut_short_leaves_nothing_and_is_made_by_the_next_call(
    teacher: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, copied = shutil.copyfile, list[Path]()

    def interrupted(source: Path, target: Path) -> None:
        if copied:
            raise KeyboardInterrupt
        copied.append(Path(copy(source, target)))

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "copyfile", interrupted)
        export_teacher(teacher, tmp_path / "out" / "teacher")
    assert len(copied) == 1
    assert list((tmp_path / "out").iterdir()) == []
    export_teacher(teacher, tmp_path / "out" / "teacher")
    assert _files(tmp_path / "out" / "teacher") == WANTED


def test_a_place_where_it_cannot_be_is_told(teacher: Artifact, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(DataError, match="taken is a file; expected a folder that is new or empty"):
        export_teacher(teacher, taken)
    with pytest.raises(PotstillError, match=r"cannot write .*taken/below: File exists; check that the place exists"):
        export_teacher(teacher, taken / "below")
    with pytest.raises(PotstillError, match="cannot write /proc/none: No such file or directory; check that the place"):
        export_teacher(teacher, Path("/proc/none"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "model.bin").write_bytes(b"another")
    with pytest.raises(DataError, match="full is not empty"):
        export_teacher(teacher, full)
    assert _files(full) == {"model.bin": b"another"}
