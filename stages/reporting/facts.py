"""Facts about a run, out of its artefacts: what metrics.json holds beside the evaluation."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from data.errors import DataError
from data.soft_targets import SoftTargetFormat, flat
from data.store import Artifact

EVALUATION_KEYS = ("systems", "ratios", "comparisons", "test", "machine", "settings")
CURVES = "training.jsonl"


def gather_metrics(inputs: Mapping[str, Artifact], *, soft_target_shards: int) -> dict[str, Any]:
    """All of metrics.json.

    The evaluation's keys, and corpus, dataset, filter, training, soft_targets, stages, versions. At most
    `soft_target_shards` shards of soft targets are read for their means. Raises DataError for a damaged artefact.
    """
    evaluation = inputs["evaluate"].manifest().metrics
    manifests = {node: artifact.manifest() for node, artifact in inputs.items()}
    metrics: dict[str, Any] = {key: evaluation[key] for key in EVALUATION_KEYS}
    for node in ("corpus", "dataset", "filter", "decode", "select"):
        if node in manifests:
            metrics[node] = manifests[node].metrics | manifests[node].counters
    metrics["training"] = {node: manifests[node].metrics for node in ("student", "baseline") if node in manifests}
    if "score" in inputs:
        metrics["soft_targets"] = describe_soft_targets(inputs["score"], soft_target_shards)
    metrics["stages"] = {node: _describe_stage(artifact) for node, artifact in inputs.items()}
    versions = {name: version for manifest in manifests.values() for name, version in manifest.libraries.items()}
    metrics["versions"] = dict(sorted(versions.items(), key=lambda item: item[0].casefold()))
    return metrics


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


def describe_soft_targets(score: Artifact, shards: int) -> dict[str, Any]:
    """Size of the stored soft targets, and means over positions of the kept mass, entropy (nats) and top probability.

    `mean_kept_mass` is the share of the teacher's probability that the K kept entries hold. The means are over the
    first `measured_shards` shards; shards are random samples of the corpus.
    """
    manifest = score.manifest()
    names = score.shard_names()
    sums, positions, form = np.zeros(3), 0, None
    for name in names[:shards]:
        table = score.read_shard(name, ["id", "length", "topk_log_probs", "tail_log_mass", "entropy"])
        form = SoftTargetFormat.of(table.schema)
        kept = 1.0 - np.exp(flat(table, "tail_log_mass").astype(np.float64))
        best = np.exp(flat(table, "topk_log_probs")[:, 0].astype(np.float64))
        sums += [kept.sum(), flat(table, "entropy").astype(np.float64).sum(), best.sum()]
        positions += len(kept)
    if form is None or positions == 0:
        raise DataError(f"{score.url} holds no soft targets; run the stage score again")
    size = sum(shard.bytes for shard in manifest.shards)
    measured = sum(shard.bytes for shard in manifest.shards if shard.name in names[:shards])
    bytes_per_token = measured / positions
    means = sums / positions
    return {
        **form.model_dump(),
        "rows": sum(shard.rows for shard in manifest.shards),
        # Exact when all shards are read, which they are unless there are very many.
        "tokens": positions if shards >= len(names) else round(size / bytes_per_token),
        "bytes": size,
        "bytes_per_token": bytes_per_token,
        "mean_kept_mass": float(means[0]),
        "mean_entropy": float(means[1]),
        "mean_top_probability": float(means[2]),
        "measured_shards": min(shards, len(names)),
        "shards": len(names),
    }


def read_curves(trained: Artifact) -> list[dict[str, float]]:
    """Lines of training.jsonl in the order of their steps; raises DataError when one is no JSON."""
    path = trained.path() / CURVES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise DataError(f"{path}: a line is no JSON ({error}); run the stage {trained.node} again") from error
