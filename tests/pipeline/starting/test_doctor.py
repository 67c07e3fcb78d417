"""`potstill doctor`: each finding against what the machine itself says."""

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.starting import doctor


def by_name(store: Path, **options: Path) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine(store, **options)}


def test_it_says_what_is_there(tmp_path: Path) -> None:
    found = by_name(tmp_path / "runs" / "not-there-yet")
    assert found["torch"].found == version("torch")
    assert found["version"].found.startswith(sys.version.split()[0])
    assert found["name"].found.endswith(f"{len(os.sched_getaffinity(0))} cores for this process")
    free = shutil.disk_usage(tmp_path).free / 1e9
    assert float(found[str(tmp_path / "runs" / "not-there-yet")].found.split()[0]) == pytest.approx(free, abs=2)
    assert doctor.summary(list(found.values()))["ok"]


def test_what_is_missing_is_told_with_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name in ("torch", "transformers") else there(name))
    found = by_name(tmp_path)
    assert (found["torch"].state, found["torch"].advice) == ("missing", "for scoring and training; make setup")
    assert found["transformers"].state == "optional"
    assert "pip install transformers" in found["transformers"].advice
    assert not doctor.summary(list(found.values()))["ok"]


@pytest.mark.parametrize(
    ("flags", "instructions", "bfloat16"),
    [
        ("avx2 avx512f avx512_vnni avx512_bf16", "AVX2, AVX-512, VNNI", "yes"),
        ("avx2 avx512f", "AVX2, AVX-512", "no"),
        ("sse4_2", "none of AVX2, AVX-512, VNNI", "no"),
    ],
)
def test_the_processor_is_read_off_its_flags(tmp_path: Path, flags: str, instructions: str, bfloat16: str) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text(f"model name\t: Abacus\nflags\t\t: fpu {flags}\n")
    found = by_name(tmp_path, facts=facts)
    assert (found["instructions"].found, found["bfloat16"].found) == (instructions, bfloat16)
