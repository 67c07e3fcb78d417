"""Facts about a run, out of its artefacts: what metrics.json holds beside the evaluation."""

import json
from collections.abc import Mapping
from typing import Any

from data.errors import DataError
from data.soft_targets import SoftTargetFormat
from data.store import Artifact
from data.teachers import given_nodes, soft_targets_node
from stages.training.curves import CURVES

EVALUATION_KEYS = ("systems", "ratios", "comparisons", "test", "machine", "settings")
# Only where the evaluation was asked for it.
OPTIONAL_KEYS = (
    "given_teachers",
    "pairs",
    "test_sets",
    "noise",
    "attribution",
    "token_f1",
    "fidelity",
    "hallucinations",
    "forced",
    "comet",
)


def gather_metrics(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """All of metrics.json: the evaluation's keys, and what is known of corpus, filter, soft targets, training, stages.

    Raises DataError for a damaged artefact.
    """
    evaluation = inputs["evaluate"].manifest().metrics
    manifests = {node: artifact.manifest() for node, artifact in inputs.items()}
    metrics: dict[str, Any] = {key: evaluation[key] for key in EVALUATION_KEYS}
    metrics |= {key: evaluation[key] for key in OPTIONAL_KEYS if key in evaluation}
    given = given_nodes(inputs).values()
    for node in ("corpus", *given, "dataset", "filter", "decode", "pool", "select", "sides"):
        if node in manifests:
            metrics[node] = manifests[node].metrics | manifests[node].counters
    metrics["training"] = {node: manifests[node].metrics for node in ("student", "baseline") if node in manifests}
    if "score" in inputs and _has_soft_targets(inputs[soft_targets_node(inputs)]):
        metrics["soft_targets"] = describe_soft_targets(inputs[soft_targets_node(inputs)])
    metrics["stages"] = {node: _describe_stage(artifact) for node, artifact in inputs.items()}
    versions = {name: version for manifest in manifests.values() for name, version in manifest.libraries.items()}
    metrics["versions"] = dict(sorted(versions.items(), key=lambda item: item[0].casefold()))
    return metrics


def _has_soft_targets(score: Artifact) -> bool:
    names = score.shard_names()
    return not names or SoftTargetFormat.of(score.read_shard(names[0], ["id"]).schema).mode != "none"


def _describe_stage(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest()
    return {
        "fingerprint": manifest.fingerprint,
        "rows": sum(shard.rows for shard in manifest.shards) if manifest.shards else None,
        "shards": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards) + sum(file.bytes for file in manifest.files),
        "seconds": manifest.seconds,
        "created": manifest.created,
        "config": manifest.config,
    }


def describe_soft_targets(score: Artifact) -> dict[str, Any]:
    """How soft targets were made, their size, and means over all positions.

    `mean_kept_mass` is the share of the teacher's probability that the K kept entries hold, `mean_entropy` is in nats,
    and not there where it is not known, `top1_share` says how often the forced token was the most probable one,
    `conditioning` whether it was of the hypothesis, of the reference, or of one or the other (mixed). Raises DataError
    when there are none.
    """
    manifest = score.manifest()
    counters, names = manifest.counters, score.shard_names()
    tokens = counters.get("tokens", 0)
    if not names or not tokens:
        raise DataError(f"{score.url} holds no soft targets; run the stage score again")
    size, rows = sum(shard.bytes for shard in manifest.shards), sum(shard.rows for shard in manifest.shards)
    silent = sum(int(counters.get(name, 0)) for name in ("too_long", "unknown"))
    forced = {0: "hypothesis", rows - silent: "reference"}
    return {
        **SoftTargetFormat.of(score.read_shard(names[0], ["id"]).schema).model_dump(mode="json"),
        "conditioning": forced.get(int(counters["references"]), "mixed"),
        "rows": rows,
        "tokens": tokens,
        "bytes": size,
        "bytes_per_token": size / tokens,
        "mean_kept_mass": counters["kept_mass"] / tokens,
        **({"mean_entropy": counters["entropy"] / tokens} if "entropy" in counters else {}),
        "top1_share": counters["top1"] / tokens,
    }


def read_curves(trained: Artifact) -> list[dict[str, float]]:
    """Lines of training.jsonl in the order of their steps; raises DataError when one is no JSON."""
    path = trained.path() / CURVES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise DataError(f"{path}: a line is no JSON ({error}); run the stage {trained.node} again") from error
