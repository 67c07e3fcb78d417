"""What `potstill verify` finds: every file of every finished artefact, read again."""

from data.errors import DataError
from data.store import Artifact, Store
from pipeline.cli.tables import size_text, total_bytes
from pipeline.recipe.graph import Graph


def verify_store(store: Store, graph: Graph) -> tuple[list[str], str]:
    """A line for each file that differs from its manifest, and what was read; raises DataError for an empty store."""
    artifacts = [found for node in graph.nodes for found in store.artifacts(node.name) if found.was_completed()]
    if not artifacts:
        raise DataError(
            f"{store.url} has no finished artefact of this recipe, so there is nothing to verify; check run.store and "
            "run.name, or run the recipe first"
        )
    if faults := [fault for artifact in artifacts for fault in _faults(artifact)]:
        return faults, ""
    manifests = [artifact.manifest() for artifact in artifacts]
    count = sum(len(manifest.shards) + len(manifest.files) for manifest in manifests)
    size = size_text(sum(total_bytes(manifest) for manifest in manifests))
    return [], f"{len(artifacts)} artefacts, {count} files, {size}: all as their manifests say"


def _faults(artifact: Artifact) -> list[str]:
    try:
        return artifact.verify()
    except DataError as error:
        return [str(error)]
