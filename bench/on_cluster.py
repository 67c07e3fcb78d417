"""A stage as a run has it: on a cluster of this machine, shard after shard, Parquet to Parquet."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel

from bench.environment import environment
from bench.fixtures import Fixture, close, new_artifact
from data.artifact import Artifact
from pipeline.planning.plan import Identity
from pipeline.recipe.graph import Node, reads_of
from pipeline.running.cluster import connect
from pipeline.running.worker import Job, close_shards, run_shard

_WARM_UP_ROWS = 8


class OnCluster:
    """A shard stage with its models loaded and warm, ready to be run over a fixture's shards again and again."""

    def __init__(self, fixture: Fixture, stage: str, config: BaseModel, threads: int, folder: Path) -> None:
        self._fixture, self._config, self._folder = fixture, config, folder
        self._node = Node(stage, f"stages.{stage}.stage", "shard", config, {})
        self._runs = 0
        self._open = ExitStack()
        with environment({}):
            cluster = self._open.enter_context(connect(None, threads, (), dashboard=False))
        self._client = cluster.client
        self._place = cluster.place(self._node, threads=threads)
        # Each process loads its own.
        shards = [f"train-{number:05}" for number in range(len(cluster.processes(self._place)))]
        warm_up = self._few_rows(shards)
        job = self._job(warm_up, self._folder / "warm-up")
        for shard, process in zip(shards, cluster.processes(self._place), strict=True):
            self._client.submit(run_shard, job, shard, workers=[process], pure=False).result()

    def run(self) -> Artifact:
        """The stage over all shards of the fixture; returns what it left."""
        self._runs += 1
        job = self._job(self._fixture.artifacts, self._folder / f"run-{self._runs}")
        resources = self._place.resources
        shards = self._fixture.shards
        futures = [self._client.submit(run_shard, job, shard, resources=resources, pure=False) for shard in shards]
        self._client.gather(futures)
        close_shards(job, shards, 0.0)
        return job.output

    def close(self) -> None:
        """Ends the processes."""
        self._open.close()

    def _job(self, inputs: Mapping[str, Artifact], folder: Path) -> Job:
        name, stage = self._node.name, self._node.stage()
        identity = Identity(name, stage.VERSION, self._config.model_dump(mode="json"), {}, {})
        # One artefact's name for all, so that the model that was loaded for the first is kept.
        output = new_artifact(folder, name)
        return Job(self._node.module, self._config, identity, inputs, output, str(Path.cwd()), self._place.threads)

    def _few_rows(self, shards: Sequence[str]) -> dict[str, Artifact]:
        """The fixture with the first rows of its first shard, as often as there are names."""
        few = dict(self._fixture.artifacts)
        for name in reads_of(self._node.stage(), self._config):
            rows = few[name].read_shard(self._fixture.shards[0]).slice(0, _WARM_UP_ROWS)
            few[name] = new_artifact(self._folder / "few-rows", name)
            for shard in shards:
                few[name].write_shard(shard, rows)
            close(few[name])
        return few
