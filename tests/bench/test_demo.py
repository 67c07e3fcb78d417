"""The figures of `make demo` are read out of what the run left."""

import json
from pathlib import Path

import pytest

from bench import demo


def left_by_a_run(clone: Path) -> None:
    store = clone / "runs" / "demo"
    seconds = {"corpus": 4.04, "student": 60.0, "report": 2.0}
    for number, (stage, taken) in enumerate(seconds.items()):
        folder = store / f"{stage}-{'0' * 20}"
        folder.mkdir(parents=True)
        manifest = {"stage": stage, "seconds": taken, "created": f"2026-01-01T00:00:0{number}+00:00"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    systems = {
        name: {"chrf": chrf, "sentences_per_second": speed}
        for name, chrf, speed in (("teacher", 60.0, 500.0), ("student", 54.0, 4500.0), ("baseline", 12.0, 400.0))
    }
    ratios = {"chrf_vs_teacher": 0.9, "chrf_gain_vs_baseline": 42.0, "speedup_vs_teacher": 9.0}
    metrics = {"systems": systems, "ratios": ratios, "settings": {"threads": 2}}
    (store / f"report-{'0' * 20}" / "metrics.json").write_text(json.dumps(metrics))


def test_records_have_the_whole_time_and_its_parts(tmp_path: Path) -> None:
    left_by_a_run(tmp_path)
    found = {one.name: one for one in demo.records({"clone": 1.5, "setup": 90.0, "run": 110.0}, tmp_path)}
    assert found["demo_seconds"].value == 201.5
    assert found["demo_seconds"].unit == "s"
    detail = found["demo_seconds"].detail
    assert (detail["clone"], detail["setup"], detail["run"]) == (1.5, 90.0, 110.0)
    assert list(detail["stages"].items()) == [("corpus", 4.0), ("student", 60.0), ("report", 2.0)]
    values = {name: one.value for name, one in found.items()}
    assert values["demo_chrf_retention"] == pytest.approx(0.9)
    assert values["demo_gain_over_baseline_chrf"] == pytest.approx(42)
    assert values["demo_speedup"] == pytest.approx(9)
    assert found["demo_chrf_retention"].detail["chrf"] == {"teacher": 60.0, "student": 54.0, "baseline": 12.0}
    assert {one.threads for one in found.values()} == {2}


def test_a_newcomer_has_no_cache_and_libraries_choose_for_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(command: list[str], *, check: bool, env: dict[str, str]) -> None:
        assert check
        commands.append(command)
        assert env["XDG_CACHE_HOME"].startswith(str(tmp_path))
        assert "OMP_NUM_THREADS" not in env
        if "demo" in command:
            left_by_a_run(tmp_path / "potstill")

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("subprocess.run", run)
    assert demo.measure(quick=False, folder=tmp_path)
    clone = str(tmp_path / "potstill")
    assert [command[1:] for command in commands] == [
        ["clone", "--quiet", "--no-local", str(demo.ROOT), clone],
        ["-C", clone, "setup"],
        ["-C", clone, "demo", "ARGS=--plain"],
    ]
