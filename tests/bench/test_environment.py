"""A suite computes as a worker of a run does, and its peers as a script that somebody starts by hand."""

import json
import os
import subprocess
import sys

import pytest

from bench.environment import environment, of_worker, plain


def test_a_process_becomes_a_worker_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    script = "import sys; from bench import environment as e; e.become_worker('json.tool')"
    done = subprocess.run([sys.executable, "-c", script], input='{"a": 1}', capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"a": 1}  # it went on as the module, which reads its input
    worker = os.environ | of_worker()
    script += "; print('stayed')"
    done = subprocess.run([sys.executable, "-c", script], env=worker, capture_output=True, text=True, check=True)
    assert done.stdout == "stayed\n"


def test_peers_have_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("CT2_FORCE_CPU_ISA", "GENERIC")
    assert not {"MALLOC_TRIM_THRESHOLD_", "CT2_FORCE_CPU_ISA"} & plain().keys()
    assert of_worker()["MALLOC_TRIM_THRESHOLD_"] != "1"
    with environment({"OMP_NUM_THREADS": "3"}):
        assert (os.environ["OMP_NUM_THREADS"], "CT2_FORCE_CPU_ISA" in os.environ) == ("3", False)
    assert os.environ["CT2_FORCE_CPU_ISA"] == "GENERIC"
