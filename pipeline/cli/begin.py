"""Commands for the beginning: new, doctor."""

import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ConfigError
from pipeline.recipe.faults import OPEN
from pipeline.recipe.recipe import read_recipe
from pipeline.terminal.tables import aligned

Files = list[Path] | None


def new(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe to write, a TOML file.")],
    source_language: Annotated[
        str | None, typer.Option("--from", metavar="TAG", help="Language of the sources, such as en or pt-BR.")
    ] = None,
    target_language: Annotated[str | None, typer.Option("--to", metavar="TAG", help="Language of the targets.")] = None,
    source: Annotated[Files, typer.Option(metavar="FILE", help="Text to translate, a line each. Repeatable.")] = None,
    target: Annotated[Files, typer.Option(metavar="FILE", help="Its translation, in the same order.")] = None,
    pairs: Annotated[
        Files, typer.Option(metavar="FILE", help="Both sides in one: TSV, JSONL, Parquet, TMX, ...")
    ] = None,
    monolingual: Annotated[Files, typer.Option(metavar="FILE", help="Text without a translation.")] = None,
    test_source: Annotated[Files, typer.Option(metavar="FILE", help="A test set's sources.")] = None,
    test_target: Annotated[Files, typer.Option(metavar="FILE", help="Its references.")] = None,
    test_pairs: Annotated[Files, typer.Option(metavar="FILE", help="A test set in one file.")] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="PATH_OR_NAME", help="A model, or its name on the hub.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a recipe that is there.")] = False,
) -> None:
    """Write a first recipe for text and a teacher.

    Looks at the files (lines, languages, whether the sides belong together) and at the teacher's kind. What is not
    given is asked for on a terminal; what cannot be known is marked TODO, and nothing runs while a mark is there.
    Exit code 1 while any is.
    """
    from pipeline.starting.sources import table_source, text_source
    from pipeline.starting.teachers import find_teacher
    from pipeline.starting.texts import look_at
    from pipeline.starting.write import Wanted, recipe_text

    _check_free(recipe, force=force)
    languages = _languages(source_language, target_language)
    if not (source or target or pairs or monolingual):
        source, target = [Path(_asked(None, "--source"))], [Path(_asked(None, "--target"))]
    given = [text_source(*files) for files in _matched("--source", source, "--target", target)]
    given += [table_source(path, languages) for path in pairs or ()]
    given += [text_source(path, None) for path in monolingual or ()]
    tests = [text_source(*files) for files in _matched("--test-source", test_source, "--test-target", test_target)]
    tests += [table_source(path, languages) for path in test_pairs or ()]
    named = _asked(teacher, "--teacher")
    found = find_teacher(named, languages)
    corpora, test_sets = ([look_at(each, languages) for each in group] for group in (given, tests))
    for look in (*corpora, *test_sets):
        _tell(f"{look.given.shown}: {look.lines:,} lines", look.notes, look.faults)
    _tell(f"{named}: {found.note}", [], found.open)
    recipe.write_text(recipe_text(Wanted(*languages, corpora, test_sets, found)), encoding="utf-8")
    marks = sum(len(look.faults) for look in (*corpora, *test_sets)) + len(found.open)
    _tell_what_next(recipe, marks)


def doctor(
    recipe: Annotated[Path | None, typer.Argument(metavar="RECIPE", help="Whose store is looked at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Show what this machine has and lacks.

    Python, packages, processor, GPU, memory, disk of the store; and what each missing thing is for. Exit code 1 when
    something that is needed is missing.
    """
    from pipeline.starting.doctor import examine, summary

    store = read_recipe(recipe, files=False).run.store if recipe else "runs"
    findings = examine(None if "://" in store else Path(store).expanduser())
    told = summary(findings)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        mark = {"ok": "", "missing": "MISSING", "optional": "absent"}
        rows = [[each.area, each.name, mark[each.state], each.found] for each in findings]
        typer.echo(aligned(rows))
        for each in findings:
            if each.advice and each.state != "ok":
                typer.echo(f"{each.name}: {each.advice}")
    if not told["ok"]:
        raise typer.Exit(1)


def _asked(given: str | None, option: str) -> str:
    if given:
        return given
    if not sys.stdin.isatty():
        raise ConfigError([f"{option}: not given; `potstill new --help` shows how"])
    return str(typer.prompt(option.removeprefix("--")))


def _check_free(recipe: Path, *, force: bool) -> None:
    if recipe.is_dir() or not recipe.parent.is_dir():
        raise ConfigError([f"{recipe}: {'is a folder' if recipe.is_dir() else 'there is no such folder'}"])
    if recipe.exists() and not force:
        raise ConfigError([f"{recipe} is there already; give another name, or --force"])


def _languages(source: str | None, target: str | None) -> tuple[str, str]:
    """Tags that are valid and differ; raises ConfigError, with the nearest that is."""
    from stages.corpus.readers.sources import check_language

    found = (_asked(source, "--from"), _asked(target, "--to"))
    faults = []
    for option, tag in zip(("--from", "--to"), found, strict=True):
        try:
            check_language(tag)
        except ValueError as error:
            faults.append(f"{option}: {error}")
    if not faults and found[0] == found[1]:
        faults = [f"--from and --to are both {found[0]}"]
    if faults:
        raise ConfigError(faults)
    return found


def _matched(
    first: str, ours: list[Path] | None, second: str, theirs: list[Path] | None
) -> list[tuple[Path, Path | None]]:
    ours, theirs = ours or [], theirs or []
    if len(ours) != len(theirs):
        raise ConfigError([f"{first} is given {len(ours)} times and {second} {len(theirs)}; each needs its other side"])
    return list(zip(ours, theirs, strict=True))


def _tell(head: str, notes: list[str], marks: list[str]) -> None:
    typer.echo(head)
    width = min(shutil.get_terminal_size().columns, 100) if sys.stdout.isatty() else 0
    for line in (*notes, *(f"{OPEN}: {mark}" for mark in marks)):
        typer.echo(textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    ") if width else f"  {line}")


def _tell_what_next(recipe: Path, marks: int) -> None:
    typer.echo(f"\n{recipe} is written.")
    if marks:
        typer.echo(f"It has {marks} TODO: mend what they say, take the marks out, and then:")
    for command, why in (
        ("plan", "what would run"),
        ("estimate", "how long it takes here"),
        ("run", "all of it; goes on where it was stopped"),
    ):
        typer.echo(f"  potstill {command} {recipe}".ljust(36) + f"# {why}")
    if marks:
        raise typer.Exit(1)
