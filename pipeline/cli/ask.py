"""Commands that ask what is there: status, verify, metrics, path."""

import typer

from data.errors import DataError
from data.store import Artifact, Store
from pipeline.cli.shared import RecipePath, SetOption, StageArgument, finished, read, read_done
from pipeline.cli.tables import status_table, total_bytes, warning_lines
from pipeline.estimating.record import read as read_estimate
from pipeline.planning.plan import newest_manifest
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import Graph
from pipeline.terminal.tables import size_text


def status(context: typer.Context, recipe: RecipePath, overrides: SetOption = None) -> None:
    """Show what is there, and what was estimated.

    Of each stage: rows, size, seconds, and its folder; below them what stages warned of.
    """
    wanted = read_done(context, recipe, overrides)
    planner = open_planner(wanted)
    steps = planner.plan(wanted.graph)
    typer.echo(status_table(steps, read_estimate(planner.store)))
    for warning in warning_lines(steps):
        typer.echo(warning)


def verify(context: typer.Context, recipe: RecipePath, overrides: SetOption = None) -> None:
    """Read every finished file and compare digests.

    Exit code 1 when one differs, or there is none.
    """
    wanted = read(context, recipe, overrides, files=False)
    faults, summary = verify_store(open_planner(wanted).store, wanted.graph)
    typer.echo("\n".join(faults or [summary]))
    if faults:
        raise typer.Exit(1)


def metrics(context: typer.Context, recipe: RecipePath, overrides: SetOption = None) -> None:
    """Print metrics.json of the last report."""
    wanted = read(context, recipe, overrides, files=False)
    store = open_planner(wanted).store
    newest = newest_manifest(store, "report")
    if newest is None:
        raise DataError(f"{store.url} has no report yet; run `potstill run {recipe}` first")
    path = store.artifact("report", newest.fingerprint).path() / "metrics.json"
    typer.echo(path.read_text(encoding="utf-8").rstrip("\n"))


def path(context: typer.Context, recipe: RecipePath, stage: StageArgument, overrides: SetOption = None) -> None:
    """Print the folder that a stage has left.

    For the recipe as it is now; exit code 1 while there is none.
    """
    typer.echo(finished(context, recipe, overrides, stage).url)


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
