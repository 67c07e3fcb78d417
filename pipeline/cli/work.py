"""Commands that make something: run, plan, estimate, tune."""

import json
import time
from typing import Annotated

import typer

from pipeline.cli.shared import (
    DashboardOption,
    PlainOption,
    RecipePath,
    SchedulerOption,
    SetOption,
    Settings,
    UntilOption,
    WorkersOption,
    display_beside_json,
    open_display,
    read,
)
from pipeline.cli.tables import estimate_table, plan_table
from pipeline.estimating.record import read as read_estimate
from pipeline.planning.plan import absent_files
from pipeline.planning.scope import open_planner, select_graph
from pipeline.recipe.recipe import Recipe
from pipeline.running.launch import ClusterOptions, run_recipe
from pipeline.running.stopping import stoppable
from pipeline.terminal.progress import clock_text


def run(
    context: typer.Context,
    recipe: RecipePath,
    until: UntilOption = None,
    only: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Run this stage alone; all it needs must be done.")
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    overrides: SetOption = None,
    plain: PlainOption = False,
    dashboard: DashboardOption = True,
) -> None:
    """Run all stages of a recipe that are not done yet.

    A run that was killed goes on where it stood. What did not change is not made again.
    """
    start = time.monotonic()
    wanted = read(context, recipe, overrides)
    options = ClusterOptions(scheduler, workers, dashboard)
    with stoppable():
        estimated = _estimated(wanted)
        outcome = run_recipe(wanted, lambda: open_display(plain), options, until=until, only=only, estimated=estimated)
    seconds = time.monotonic() - start
    if outcome.ran:
        typer.echo(f"{wanted.run.name}: {', '.join(outcome.ran)} done in {clock_text(seconds)}")
    else:
        typer.echo(f"{wanted.run.name}: nothing to do, all of it is there ({seconds:.1f} s)")
    typer.echo(f"report: {outcome.report()}" if outcome.report() else f"folder: {wanted.run.store_url()}")


def _estimated(recipe: Recipe) -> dict[str, float]:
    """Seconds of the stages that `potstill estimate` has tried on this machine, as they stand in the recipe now."""
    found = read_estimate(open_planner(recipe).store)
    return found.seconds_of(recipe.graph) if found else {}


def plan(context: typer.Context, recipe: RecipePath, until: UntilOption = None, overrides: SetOption = None) -> None:
    """Show what a run would do, and why."""
    wanted = read(context, recipe, overrides)
    graph, _ = select_graph(wanted, until, None)
    steps = open_planner(wanted).plan(graph)
    typer.echo("\n".join([plan_table(steps), *absent_files(steps, wanted.path)]))


def estimate(
    context: typer.Context,
    recipe: RecipePath,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="What an hour of this machine, or of the whole cluster, costs.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Of that price; only shown.")] = "",
    rows: Annotated[int, typer.Option(min=8, help="Rows of the sample; more take longer and tell more.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and of the intervals.")] = 1,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")] = False,
    overrides: SetOption = None,
    plain: PlainOption = False,
) -> None:
    """Say what a run will take: hours, disk and money.

    Rows, target tokens, hours, bytes and money of each stage, each with an interval. What decode needs (corpus,
    tokenizer, teacher and what is quickly made of them) is made for real, and the run will use it. All else is tried
    on a sample, on as many threads as it will have, and nothing of that is kept but estimate.json; status then shows
    estimate against truth. A teacher that is to be trained must be there first.
    """
    from pipeline.estimating.estimate import Price, estimate_recipe
    from pipeline.estimating.rehearsal import Sampling

    wanted = read(context, recipe, overrides)
    options = ClusterOptions(scheduler, workers, dashboard=False)
    with stoppable():
        found = estimate_recipe(
            wanted,
            lambda: display_beside_json(plain, as_json),
            options,
            Sampling(rows, seed),
            Price(price_per_hour, currency),
        )
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else estimate_table(found))


def tune(
    context: typer.Context,
    recipe: RecipePath,
    trials: Annotated[int | None, typer.Option(min=1, help="So many trials in all, not what the recipe says.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="The last stage of a trial, not what the recipe says.")
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    overrides: SetOption = None,
    dashboard: DashboardOption = True,
) -> None:
    """Try a recipe with other settings.

    Which ones, its section [tune] says. Finished trials are kept: a sweep that was killed goes on where it stood, and
    one that is done costs nothing.
    """
    from pipeline.tuning.candidates import Source
    from pipeline.tuning.tune import tune_recipe

    settings: Settings = context.obj
    source = Source(recipe, tuple(overrides or ()), settings.stages)
    options = ClusterOptions(scheduler, workers, dashboard)
    with stoppable():
        # Of bars there would be too many.
        results = tune_recipe(source, lambda: open_display(plain=True), options, trials=trials, until=until)
    typer.echo(f"{results.table()}\n\nfolder: {results.folder}")
