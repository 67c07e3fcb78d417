"""The command `potstill`. Reads arguments, prints, sets the exit code; all else is done elsewhere.

Exit codes: 0 done, 1 something failed, 2 the recipe or the command is wrong, 128 + n stopped by signal n.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn, TextIO

import typer

from data.errors import ConfigError, PotstillError
from pipeline.cli import ask, begin, use, work
from pipeline.cli.shared import Settings, tell
from pipeline.recipe.graph import STAGES, StageEntry
from pipeline.running.stopping import Stopped

# As `potstill --help` lists them; a new one goes where its like are.
COMMANDS: tuple[Callable[..., None], ...] = (
    begin.new,
    begin.doctor,
    work.run,
    work.plan,
    work.estimate,
    work.tune,
    ask.status,
    ask.verify,
    ask.metrics,
    ask.path,
    use.translate,
    use.sheet,
    use.rate,
    use.export_text,
    use.export_teacher,
)
OWN_LOGGERS = ("data", "stages", "pipeline", "onmt")


def main(arguments: Sequence[str] | None = None, stages: Sequence[StageEntry] = STAGES) -> NoReturn:
    """Entry point; `stages` is the registry of stages to run with."""
    settings = Settings(stages)
    try:
        build_app()(args=arguments, obj=settings, prog_name="potstill")
        code = 0
    except Stopped as stopped:
        tell("stopped; what was finished is kept: the same command goes on from there")
        code = 128 + stopped.number
    except PotstillError as error:
        tell(traceback.format_exc() if settings.debug else str(error))
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
    for command in COMMANDS:
        app.command(command.__name__.replace("_", "-"))(command)
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


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to what standard error is now: the bars put something of their own there while they stand."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)
