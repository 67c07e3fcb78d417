"""The command `potstill`. Reads arguments, prints, sets the exit code; all else is done elsewhere.

Exit codes: 0 done, 1 something failed, 2 the recipe or the command is wrong, 128 + n stopped by signal n.
"""

import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from data.errors import ConfigError, DataError, PotstillError
from data.store import Artifact
from pipeline.cli.rating_table import rating_table
from pipeline.cli.tables import estimate_table, plan_table, status_table
from pipeline.cli.verify import verify_store
from pipeline.estimating.record import read as read_estimate
from pipeline.planning.plan import newest_manifest
from pipeline.recipe.graph import STAGES, StageEntry
from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.running.launch import ClusterOptions, open_planner, run_recipe, select_graph
from pipeline.running.stopping import Stopped, stoppable
from pipeline.terminal.progress import BarDisplay, Display, PlainDisplay, clock_text

OWN_LOGGERS = ("data", "stages", "pipeline", "onmt")
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
DashboardOption = Annotated[bool, typer.Option(help="Serve Dask's dashboard on this machine.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="Lines in place of bars, as in a log.")]


@dataclass
class Settings:
    """What all commands share."""

    stages: Sequence[StageEntry]
    debug: bool = False


def main(arguments: Sequence[str] | None = None, stages: Sequence[StageEntry] = STAGES) -> NoReturn:
    """Entry point; `stages` is the registry of stages to run with."""
    settings = Settings(stages)
    try:
        build_app()(args=arguments, obj=settings, prog_name="potstill")
        code = 0
    except Stopped as stopped:
        _tell("stopped; what was finished is kept: the same command goes on from there")
        code = 128 + stopped.number
    except PotstillError as error:
        _tell(traceback.format_exc() if settings.debug else str(error))
        code = 2 if isinstance(error, ConfigError) else 1
    sys.exit(code)


def build_app() -> typer.Typer:
    """The command with its subcommands."""
    app = typer.Typer(
        help="Distil a slow translation teacher into a small student, and keep the distilled dataset.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)
    for command in (run, plan, estimate, tune, status, verify, metrics, path, translate, sheet, rate):
        app.command()(command)
    app.command("export-text")(export_text)
    app.command("export-teacher")(export_teacher)
    return app


def _common(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the log of all stages, and tracebacks.")] = False,
) -> None:
    context.obj.debug = debug
    handler = _CurrentStderr()
    # Dask tells of every connection and every lost worker; the runner says what of it matters.
    others = logging.WARNING if debug else logging.CRITICAL
    handler.addFilter(lambda record: record.name.split(".")[0] in OWN_LOGGERS or record.levelno >= others)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.WARNING)


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
    read = _read(context, recipe, overrides)
    options = ClusterOptions(scheduler, workers, dashboard)
    with stoppable():
        outcome = run_recipe(read, lambda: _display(plain), options, until=until, only=only)
    seconds = time.monotonic() - start
    if outcome.ran:
        typer.echo(f"{read.run.name}: {', '.join(outcome.ran)} done in {clock_text(seconds)}")
    else:
        typer.echo(f"{read.run.name}: nothing to do, all of it is there ({seconds:.1f} s)")
    typer.echo(f"report: {outcome.report()}" if outcome.report() else f"folder: {read.run.store_url()}")


def plan(context: typer.Context, recipe: RecipePath, until: UntilOption = None, overrides: SetOption = None) -> None:
    """Show what a run would do, and why."""
    read = _read(context, recipe, overrides)
    graph, _ = select_graph(read, until, None)
    typer.echo(plan_table(open_planner(read).plan(graph)))


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
    """Say what a run will take: rows, tokens, hours, disk and money of each stage.

    What decode needs (corpus, tokenizer, teacher and what is quickly made of them) is made for real, and the run will
    use it. All else is tried on a sample, on as many threads as it will have, and nothing of that is kept but
    estimate.json; status then shows estimate against truth. A teacher that is to be trained must be there first.
    """
    from pipeline.estimating.estimate import Price, estimate_recipe
    from pipeline.estimating.rehearsal import Sampling

    read = _read(context, recipe, overrides)
    options = ClusterOptions(scheduler, workers, dashboard=False)
    with stoppable():
        found = estimate_recipe(
            read, lambda: _told_apart(plain, as_json), options, Sampling(rows, seed), Price(price_per_hour, currency)
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
    """Try a recipe with other settings, as its section [tune] says.

    Finished trials are kept: a sweep that was killed goes on where it stood, and one that is done costs nothing.
    """
    from pipeline.tuning.candidates import Source
    from pipeline.tuning.tune import tune_recipe

    settings: Settings = context.obj
    source = Source(recipe, tuple(overrides or ()), settings.stages)
    options = ClusterOptions(scheduler, workers, dashboard)
    with stoppable():
        # Of bars there would be too many.
        results = tune_recipe(source, lambda: _display(plain=True), options, trials=trials, until=until)
    typer.echo(f"{results.table()}\n\nfolder: {results.folder}")


def status(context: typer.Context, recipe: RecipePath, overrides: SetOption = None) -> None:
    """Show what is there: rows, size and seconds of each stage, and what was estimated of it."""
    read = _read_done(context, recipe, overrides)
    planner = open_planner(read)
    typer.echo(status_table(planner.plan(read.graph), read_estimate(planner.store)))


def verify(context: typer.Context, recipe: RecipePath, overrides: SetOption = None) -> None:
    """Read every finished file again and compare its digest.

    Exit code 1 when one differs, or there is none.
    """
    read = _read(context, recipe, overrides, files=False)
    faults, summary = verify_store(open_planner(read).store, read.graph)
    typer.echo("\n".join(faults or [summary]))
    if faults:
        raise typer.Exit(1)


def metrics(context: typer.Context, recipe: RecipePath, overrides: SetOption = None) -> None:
    """Print metrics.json of the last report."""
    read = _read(context, recipe, overrides, files=False)
    store = open_planner(read).store
    newest = newest_manifest(store, "report")
    if newest is None:
        raise DataError(f"{store.url} has no report yet; run `potstill run {recipe}` first")
    path = store.artifact("report", newest.fingerprint).path() / "metrics.json"
    typer.echo(path.read_text(encoding="utf-8").rstrip("\n"))


def path(context: typer.Context, recipe: RecipePath, stage: StageArgument, overrides: SetOption = None) -> None:
    """Print the folder that a stage has left for the recipe as it is now; exit code 1 while there is none."""
    typer.echo(_finished(context, recipe, overrides, stage).url)


def translate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An exported model: what the stage export left.")],
    beam_size: Annotated[int, typer.Option("--beam", min=1, help="Beam size; 1 is greedy, and fastest.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores when not given.")] = None,
    source_language: Annotated[
        str | None, typer.Option("--from", metavar="TAG", help="Language of the input, where the model has several.")
    ] = None,
    target_language: Annotated[
        str | None, typer.Option("--to", metavar="TAG", help="Language of the output, likewise.")
    ] = None,
) -> None:
    """Translate standard input to standard output, line by line."""
    from stages.loaded_model.translate import translate_lines

    # A line ends at a line feed and nowhere else, and bytes that are no UTF-8 cost a character, not the rest.
    text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace", newline="\n")
    lines = (line.removesuffix("\n") for line in text)
    cores = len(os.sched_getaffinity(0))
    translated = translate_lines(
        folder,
        lines,
        beam_size=beam_size,
        threads=threads or cores,
        source_language=source_language,
        target_language=target_language,
    )
    for line in translated:
        sys.stdout.buffer.write(line.encode() + b"\n")


def sheet(
    context: typer.Context,
    recipe: RecipePath,
    out: Annotated[Path, typer.Argument(metavar="OUT.csv", help="The sheet; its key is written beside it.")],
    sentences: Annotated[int, typer.Option(min=1, help="Test sentences, drawn at random.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw, and of which system is A.")] = 1,
    systems: Annotated[
        str, typer.Option(metavar="ONE,OTHER", help="Two of teacher, student, baseline, reference, ...")
    ] = "student,teacher",
    overrides: SetOption = None,
) -> None:
    """Write a sheet on which people compare two systems without knowing which is which."""
    from stages.evaluate.people.sheet import write_sheet
    from stages.evaluate.stage import TRANSLATIONS

    first, _, second = (name.strip() for name in systems.partition(","))
    if not second:
        raise ConfigError([f"--systems: {systems!r}; expected two names with a comma between"])
    evaluated = _finished(context, recipe, overrides, "evaluate")
    rows = evaluated.read_shard(TRANSLATIONS).to_pylist()
    pair = (first, second)
    key = write_sheet(rows, out, systems=pair, sentences=sentences, seed=seed, evaluation=evaluated.fingerprint)
    typer.echo(f"{out}: {min(sentences, len(rows))} sentences, for raters\n{key}: the key, not for raters")


def rate(
    sheets: Annotated[list[Path], typer.Argument(metavar="SHEET.csv...", help="Filled sheets, one a rater.")],
    key: Annotated[Path, typer.Argument(metavar="KEY.json", help="The key that was written with the sheet.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Score filled sheets: which system people prefer, whether that is chance, and whether they agree."""
    from stages.evaluate.people.rating import rate_sheets

    found = rate_sheets(sheets, key)
    typer.echo(json.dumps(found, indent=1) if as_json else rating_table(found))


def export_text(
    context: typer.Context,
    recipe: RecipePath,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the text files.")],
    overrides: SetOption = None,
) -> None:
    """Write the distilled dataset as parallel text files.

    They are as stock onmt_train takes them.
    """
    from stages.dataset.stage import export_text as write

    write(_finished(context, recipe, overrides, "dataset"), folder)


def export_teacher(
    context: typer.Context,
    recipe: RecipePath,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    overrides: SetOption = None,
) -> None:
    """Write the teacher as a folder that recipes can name.

    In such a recipe: kind = "ctranslate2" and path = FOLDER below [teacher], kind = "teacher" below [tokenizer].
    """
    from stages.teacher.export import export_teacher as write

    for name in write(_finished(context, recipe, overrides, "teacher"), folder):
        typer.echo(folder / name)


def _finished(context: typer.Context, recipe: Path, overrides: list[str] | None, node: str) -> Artifact:
    """The complete artefact of a node."""
    read = _read_done(context, recipe, overrides)
    step = open_planner(read).plan(read.graph.up_to(node))[-1]
    if step.artifact is None or step.state != "done":
        raise DataError(f"the {node} is not there yet; run `potstill run {recipe} --until {node}` first")
    return step.artifact


def _read(context: typer.Context, recipe: Path, overrides: list[str] | None, *, files: bool = True) -> Recipe:
    settings: Settings = context.obj
    return read_recipe(recipe, overrides or (), settings.stages, files=files)


def _read_done(context: typer.Context, recipe: Path, overrides: list[str] | None) -> Recipe:
    """For who looks for what is done; says what to do where files are gone that were there when it was made."""
    try:
        return _read(context, recipe, overrides)
    except ConfigError as error:
        # Raises where more is wrong than that.
        _read(context, recipe, overrides, files=False)
        raise ConfigError([*error.faults, FILES_GONE]) from None


def _display(plain: bool) -> Display:
    if plain or not sys.stdout.isatty():
        return PlainDisplay(lambda line: print(line, flush=True))  # noqa: T201
    return BarDisplay()


def _told_apart(plain: bool, as_json: bool) -> Display:
    """A display that leaves standard output alone where JSON goes there."""
    return PlainDisplay(_tell) if as_json else _display(plain)


def _tell(text: str) -> None:
    typer.echo(text, err=True)


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to what standard error is now: the bars put something of their own there while they stand."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)
