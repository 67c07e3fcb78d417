"""What decode and score leave of a fixture, in memory: for figures that need real hypotheses and soft targets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench import fixtures
from bench.fixtures import Fixture, close, new_artifact
from data.drawn_targets import drawn, pack_drawn
from data.model_folder import load_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, flat, pack, row_lengths, topk
from stages.decode import stage as decode
from stages.score import choose
from stages.score import stage as score
from stages.score.backend import ways_for


def with_targets(fixture: Fixture) -> pa.Table:
    """The fixture's rows with the teacher's first hypothesis as `target_tokens`, as select leaves them."""
    config = decode.Config.model_validate(dict(fixture.decode) | {"num_hypotheses": 1})
    resources = decode.load(config, fixture.artifacts, Runtime(fixtures.cores()))
    table = fixture.table()
    hypotheses = decode.run(table, config, resources).column("hypotheses").to_pylist()
    tokens = pa.array([nbest[0]["tokens"] for nbest in hypotheses], pa.list_(pa.string()))
    metric = pa.array(["score"] * table.num_rows, pa.string())
    return table.append_column("target_tokens", tokens).append_column("metric", metric)


def with_select(fixture: Fixture, folder: Path) -> Fixture:
    """The fixture with what select would leave of the columns that score reads, shard by shard."""
    table, select, start = with_targets(fixture), new_artifact(folder, "select"), 0
    for shard in fixture.shards:
        rows = fixture.artifacts["corpus"].read_shard(shard, ["id"]).num_rows
        select.write_shard(shard, table.slice(start, rows).select(["id", "target_tokens", "metric"]))
        start += rows
    return replace(fixture, artifacts={**fixture.artifacts, "select": close(select)})


def with_scorer(fixture: Fixture, config: score.Config, folder: Path) -> Fixture:
    """The fixture with the way to score that the stage scorer chooses for this config."""
    scorer = new_artifact(folder, "scorer")
    choose.run(fixture.artifacts, config, scorer, Runtime(fixtures.cores()))
    return replace(fixture, artifacts={**fixture.artifacts, "scorer": close(scorer)})


def targets(fixture: Fixture) -> pa.Table:
    """All rows with the targets that select left."""
    selected = pa.concat_tables([fixture.artifacts["select"].read_shard(name) for name in fixture.shards])
    table = fixture.table()
    for name in ("target_tokens", "metric"):
        table = table.append_column(name, selected[name])
    return table


def soft_targets(fixture: Fixture, table: pa.Table, k: int) -> pa.Table:
    """Exact soft targets of K entries for rows with `target_tokens`."""
    return _scored(fixture, table, score.Config(k=k))


def sampled_targets(fixture: Fixture, table: pa.Table, draws: int) -> pa.Table:
    """Exact soft targets of entries drawn at every position, for rows with `target_tokens`."""
    return _scored(fixture, table, score.Config(mode="sampled", draws=draws))


def _scored(fixture: Fixture, table: pa.Table, config: score.Config) -> pa.Table:
    """By the most exact way: of sizes and readers it makes no difference."""
    way = ways_for(config.asked(), fixture.teacher(), load_teacher_info(fixture.teacher()), "cpu")[0]
    resources = score.open_resources(config, fixture.artifacts, Runtime(fixtures.cores()), way)
    return score.run(table, config, resources)


def drawn_in(table: pa.Table, encoding: str) -> pa.Table:
    """Drawn soft targets in another encoding."""
    return pack_drawn(
        row_ids=table.column("id").to_pylist(),
        lengths=row_lengths(table).tolist(),
        conditioning=table.column("conditioning").to_pylist(),
        drawn=drawn(table),
        token_log_probs=flat(table, "token_log_probs"),
        entropy=flat(table, "entropy"),
        target_format=SoftTargetFormat.of(table.schema).model_copy(update={"encoding": encoding}),
    )


def cut(table: pa.Table, k: int, encoding: str) -> pa.Table:
    """Exact soft targets with the first k of their entries, and the others' mass in the tail."""
    ids, log_probs, tail = topk(table)
    others = np.exp(log_probs[:, k:].astype(np.float64)).sum(axis=1) + np.exp(tail.astype(np.float64))
    changes = {"k": k, "encoding": encoding}
    return pack(
        row_ids=table.column("id").to_pylist(),
        lengths=row_lengths(table).tolist(),
        conditioning=table.column("conditioning").to_pylist(),
        topk_ids=ids[:, :k],
        topk_log_probs=log_probs[:, :k],
        tail_log_mass=np.minimum(np.log(np.maximum(others, 1e-30)), 0.0),
        token_log_probs=flat(table, "token_log_probs"),
        entropy=flat(table, "entropy"),
        target_format=SoftTargetFormat.of(table.schema).model_copy(update=changes),
    )
