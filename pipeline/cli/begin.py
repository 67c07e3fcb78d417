"""Commands for the beginning: new, doctor."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ConfigError
from pipeline.recipe.recipe import read_recipe
from pipeline.terminal.tables import aligned

Files = list[Path] | None


def new(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe to write, a TOML file.")],
    source_language: Annotated[
        str | None, typer.Option("--from", metavar="TAG", help="Language of the sources.")
    ] = None,
    target_language: Annotated[str | None, typer.Option("--to", metavar="TAG", help="Of the targets.")] = None,
    source: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Text to translate; may be repeated.")
    ] = None,
    target: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Its translation, in the same order.")
    ] = None,
    monolingual: Annotated[Files, typer.Option(metavar="FILE", help="Text without a translation.")] = None,
    test_source: Annotated[Files, typer.Option(metavar="FILE", help="A test set's sources.")] = None,
    test_target: Annotated[Files, typer.Option(metavar="FILE", help="Its references.")] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="PATH_OR_NAME", help="A model, or its name on the hub.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Write over a recipe that is there.")] = False,
) -> None:
    """Write a first recipe for text and a teacher.

    Looks at the files (lines, languages, whether the sides belong together) and at the teacher's kind. What is not
    given is asked for on a terminal; what cannot be known is marked with TODO. Exit code 1 while anything is.
    """
    from pipeline.starting.teachers import find_teacher
    from pipeline.starting.texts import look_at
    from pipeline.starting.write import OPEN, Wanted, recipe_text

    if recipe.exists() and not force:
        raise ConfigError([f"{recipe} is there already; give another name, or --force"])
    languages = (_asked(source_language, "--from"), _asked(target_language, "--to"))
    pairs = _pairs("--source", source, "--target", target)
    tests = _pairs("--test-source", test_source, "--test-target", test_target)
    alone = [(path, None) for path in monolingual or ()]
    if not pairs and not alone:
        pairs = [(Path(_asked(None, "--source")), Path(_asked(None, "--target")))]
    named = _asked(teacher, "--teacher")
    corpora, test_sets = ([look_at(*files, languages) for files in group] for group in ([*pairs, *alone], tests))
    found = find_teacher(named, languages)
    for look in (*corpora, *test_sets):
        beside = f" and {look.target}" if look.target else ""
        typer.echo(f"{look.source}{beside}: {look.lines:,} lines")
        for told in (*look.notes, *(f"{OPEN}: {fault}" for fault in look.faults)):
            typer.echo(f"  {told}")
    typer.echo(f"{named}: {found.note}")
    for told in found.open:
        typer.echo(f"  {OPEN}: {told}")
    recipe.write_text(recipe_text(Wanted(*languages, corpora, test_sets, found)), encoding="utf-8")
    _tell_what_next(recipe, marked=any(look.faults for look in (*corpora, *test_sets)) or bool(found.open))


def doctor(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="Whose store is looked at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Show what this machine has and lacks.

    Python, packages, processor, GPU, memory, disk of the store; and what each missing thing is for. Exit code 1 when
    something that is needed is missing.
    """
    from pipeline.starting.doctor import examine, summary

    store = read_recipe(recipe, files=False).run.store if recipe else "runs"
    findings = examine(Path(store) if "://" not in store else Path())
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


def _pairs(
    first: str, ours: list[Path] | None, second: str, theirs: list[Path] | None
) -> list[tuple[Path, Path | None]]:
    ours, theirs = ours or [], theirs or []
    if len(ours) != len(theirs):
        raise ConfigError([f"{first} is given {len(ours)} times and {second} {len(theirs)}; each needs its other side"])
    missing = [f"{path}: no such file" for path in (*ours, *theirs) if not path.is_file()]
    if missing:
        raise ConfigError(missing)
    return list(zip(ours, theirs, strict=True))


def _tell_what_next(recipe: Path, *, marked: bool) -> None:
    typer.echo(f"\n{recipe} is written.")
    if marked:
        typer.echo("It has lines marked TODO: mend what they say, or take them out, and then:")
    for command, why in (
        ("plan", "what would run"),
        ("estimate", "how long it takes here, tried on a sample"),
        ("run", "all of it; goes on where it stood when it was stopped"),
    ):
        typer.echo(f"  potstill {command} {recipe}".ljust(40) + f"# {why}")
    if marked:
        raise typer.Exit(1)
