import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import pytest

from data.errors import ConfigError
from pipeline.recipe.graph import Node
from pipeline.running.cluster import Cluster, Place, connect
from pipeline.running.local import worker_environment
from stages.decode.stage import Config as Decode
from stages.select.stage import Config as Select


def test_a_running_scheduler_is_used_and_left_running(cluster: Cluster) -> None:
    address = cluster.client.scheduler.address
    with connect(address, None, ("pyarrow",)) as other:
        assert (other.workers, other.cores) == (2, 2)
        assert other.client.submit(sum, [1, 2]).result() == 3
    assert cluster.client.submit(sum, [3, 4]).result() == 7


def test_an_address_where_nobody_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.running.cluster.CONNECT_SECONDS", 0.3)
    told = "--scheduler tcp://127.0.0.1:9: no scheduler answers there"
    with pytest.raises(ConfigError, match=told), connect("tcp://127.0.0.1:9", None, ()):
        pass


def test_workers_with_other_versions_are_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only in this process: the workers have what is installed.
    monkeypatch.setattr("pipeline.running.worker.library_versions", lambda libraries: {"pyarrow": "1"})
    with pytest.raises(ConfigError) as caught, connect(cluster.client.scheduler.address, None, ("pyarrow",)):
        pass
    assert all("install the same version" in fault for fault in caught.value.faults)
    assert len(caught.value.faults) == cluster.workers + len(cluster.models)


def test_local_workers_are_fit_for_a_training_and_ignore_ctrl_c(cluster: Cluster) -> None:
    environment = list(cluster.client.run(_environment).values())
    assert len(environment) == cluster.workers + len(cluster.models)
    settings = {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "1000", "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20)}
    for found, ignored in environment:
        assert settings.items() <= found.items()
        assert ignored & 1 << (signal.SIGINT - 1)


ROOT = Path(__file__).parents[3]
# Workers that report all the time while their client leaves.
CHATTER = """
import time
from distributed import get_worker
from pipeline.running.cluster import connect

def chatter():
    while True:
        get_worker().log_event("potstill", "x")
        time.sleep(0.001)

if __name__ == "__main__":
    with connect(None, 2, (), dashboard=False) as cluster:
        heard = []
        cluster.client.subscribe_topic("potstill", heard.append)
        endless = [cluster.client.submit(chatter, pure=False) for _ in range(2)]
        while len(heard) < 100:
            time.sleep(0.01)
"""


@pytest.mark.slow
def test_what_is_reported_while_a_client_leaves_is_not_told(tmp_path: Path) -> None:
    script = tmp_path / "chatter.py"
    script.write_text(CHATTER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_idle_local_workers_leave_the_cores_alone(cluster: Cluster) -> None:
    """Sampled 50 times a second and more, as Dask does by itself, every process takes some percent of a core."""
    settings = cluster.client.run(dask.config.get, "distributed.admin.tick.interval")
    assert set(settings.values()) == {"1s"}
    assert set(cluster.client.run(dask.config.get, "distributed.worker.profile.enabled").values()) == {False}


def test_a_model_is_held_once_for_all_cores(cluster: Cluster, tmp_path: Path) -> None:
    """Its shards are made side by side in one process; all other work goes to processes of one thread."""
    decode = Node("decode", "stages.decode.stage", "shard", Decode(), {})
    select = Node("select", "stages.select.stage", "shard", Select(), {})
    shared, others = cluster.place(decode, threads=2), cluster.place(select, threads=2)
    assert (shared.threads, shared.slots, others.threads, others.slots) == (2, 2, 1, 2)
    assert (len(cluster.processes(shared)), len(cluster.processes(others))) == (1, 2)
    in_one, in_others = (_processes(cluster, place, tmp_path / name) for place, name in ((shared, "a"), (others, "b")))
    assert (len(in_one), len(in_others)) == (1, 2)
    assert in_one.isdisjoint(in_others)


def _processes(cluster: Cluster, place: Place, folder: Path) -> set[int]:
    """Those that take four tasks, of which the first two can only end when they are worked on at the same time."""
    folder.mkdir()
    limits = {"workers": place.workers, "resources": place.resources}
    futures = [cluster.client.submit(_pid, folder, number, pure=False, **limits) for number in range(4)]
    return set(cluster.client.gather(futures))


def _pid(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()


def _environment() -> tuple[dict[str, str], int]:
    """The process's environment, and the signals that it ignores, as bits."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return dict(os.environ), int(lines["SigIgn"].strip(), 16)


@pytest.mark.parametrize(
    ("vendor", "flags", "told"),
    [
        ("AuthenticAMD", "avx2 avx512f avx512dq avx512cd avx512bw avx512vl", True),
        ("AuthenticAMD", "avx2 avx512f", False),
        ("GenuineIntel", "avx2 avx512f avx512dq avx512cd avx512bw avx512vl", False),
    ],
)
def test_workers_use_instructions_that_are_quick_here(
    vendor: str, flags: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CT2_FORCE_CPU_ISA", raising=False)
    facts = tmp_path / "cpuinfo"
    facts.write_text(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags} sha_ni\n")
    assert ("CT2_FORCE_CPU_ISA" in worker_environment(facts)) == told
    monkeypatch.setenv("CT2_FORCE_CPU_ISA", "GENERIC")
    assert "CT2_FORCE_CPU_ISA" not in worker_environment(facts)
    assert worker_environment(tmp_path / "absent")["OMP_NUM_THREADS"] == "1"


def test_no_dashboard_is_told_of_where_none_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.running.cluster.find_spec", {}.get)
    with connect(None, 1, ()) as cluster:
        assert cluster.dashboard == ""
