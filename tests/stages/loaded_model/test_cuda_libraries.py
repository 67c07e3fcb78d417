"""A library in a package's folder is found by name once it was loaded from there."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from stages.loaded_model.cuda_libraries import load_cuda_libraries


def test_a_library_beside_a_package_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    library = folder / "libcublas.so.12"
    source = tmp_path / "made_up.c"
    source.write_text("int potstill_answer(void) { return 42; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libcublas.so.12", "-o", library, source], check=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)

    assert load_cuda_libraries() == [str(library)]

    assert ctypes.CDLL("libcublas.so.12").potstill_answer() == 42, "found by name, without its folder"


def test_without_the_packages_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert load_cuda_libraries() == []
