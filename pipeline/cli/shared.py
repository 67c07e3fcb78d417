"""What commands share: their options, the recipe that they read, and where they write."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ConfigError, DataError
from data.store import Artifact
from pipeline.planning.scope import open_planner
from pipeline.recipe.graph import StageEntry
from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.terminal.progress import BarDisplay, Display, PlainDisplay

FILES_GONE = (
    "if files are gone that the run read: what is done is found by their content, so put them back as they were; "
    "`potstill verify` and `potstill metrics` go without them"
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a TOML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Set a key of the recipe for this call; the value as in TOML, or else a text. May be repeated.",
    ),
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Stop after this stage; only what it needs is run.")
]
StageArgument = Annotated[str, typer.Argument(metavar="STAGE", help="As the plan names it.")]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on this Dask scheduler, not on a cluster of our own.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes of our own cluster; one a core when not given.")
]
DashboardOption = Annotated[bool, typer.Option(help="Serve Dask's dashboard on this machine, if bokeh is installed.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="Lines in place of bars, as in a log.")]


@dataclass
class Settings:
    """What all commands share."""

    stages: Sequence[StageEntry]
    debug: bool = False


def read(context: typer.Context, recipe: Path, overrides: list[str] | None, *, files: bool = True) -> Recipe:
    """The recipe with what --set says; raises ConfigError with all its faults."""
    settings: Settings = context.obj
    return read_recipe(recipe, overrides or (), settings.stages, files=files)


def read_done(context: typer.Context, recipe: Path, overrides: list[str] | None) -> Recipe:
    """For who looks for what is done; says what to do where files are gone that were there when it was made."""
    try:
        return read(context, recipe, overrides)
    except ConfigError as error:
        # Raises where more is wrong than that.
        read(context, recipe, overrides, files=False)
        raise ConfigError([*error.faults, FILES_GONE]) from None


def finished(context: typer.Context, recipe: Path, overrides: list[str] | None, node: str) -> Artifact:
    """The complete artefact of a node."""
    wanted = read_done(context, recipe, overrides)
    step = open_planner(wanted).plan(wanted.graph.up_to(node))[-1]
    if step.artifact is None or step.state != "done":
        raise DataError(f"the {node} is not there yet; run `potstill run {recipe} --until {node}` first")
    return step.artifact


def open_display(plain: bool) -> Display:
    """Bars on a terminal, lines elsewhere."""
    if plain or not sys.stdout.isatty():
        return PlainDisplay(lambda line: print(line, flush=True))  # noqa: T201
    return BarDisplay()


def display_beside_json(plain: bool, as_json: bool) -> Display:
    """A display that leaves standard output alone where JSON goes there."""
    return PlainDisplay(tell) if as_json else open_display(plain)


def tell(text: str) -> None:
    """To standard error."""
    typer.echo(text, err=True)
