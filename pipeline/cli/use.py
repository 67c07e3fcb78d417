"""Commands that use what a run has left: translate, sheet, rate, export-text, export-teacher."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ConfigError
from pipeline.cli.rating_table import rating_table
from pipeline.cli.shared import RecipePath, SetOption, finished, read_done


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
    """Translate standard input, line by line."""
    from stages.loaded_model.input_lines import text_lines
    from stages.loaded_model.translate import translate_lines

    lines = text_lines(sys.stdin.buffer)
    cores, cut = len(os.sched_getaffinity(0)), list[int]()
    translated = translate_lines(
        folder,
        lines,
        beam_size=beam_size,
        threads=threads or cores,
        source_language=source_language,
        target_language=target_language,
        told=cut.append,
    )
    for line in translated:
        sys.stdout.buffer.write(line.encode() + b"\n")
    if cut:
        shown = ", ".join(map(str, cut[:10])) + (", ..." if len(cut) > 10 else "")
        typer.echo(f"{len(cut)} lines were too long for the model and are not whole: {shown}; split them", err=True)


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
    """Write a sheet on which people compare systems.

    Two of them, without knowing which is which.
    """
    from stages.evaluate.people.sheet import write_sheet
    from stages.evaluate.stage import TRANSLATIONS

    first, _, second = (name.strip() for name in systems.partition(","))
    if not second:
        raise ConfigError([f"--systems: {systems!r}; expected two names with a comma between"])
    evaluated = finished(context, recipe, overrides, "evaluate")
    rows = evaluated.read_shard(TRANSLATIONS).to_pylist()
    pair = (first, second)
    key = write_sheet(rows, out, systems=pair, sentences=sentences, seed=seed, evaluation=evaluated.fingerprint)
    typer.echo(f"{out}: {min(sentences, len(rows))} sentences, for raters\n{key}: the key, not for raters")


def rate(
    sheets: Annotated[list[Path], typer.Argument(metavar="SHEET.csv...", help="Filled sheets, one a rater.")],
    key: Annotated[Path, typer.Argument(metavar="KEY.json", help="The key that was written with the sheet.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Score filled sheets.

    Which system people prefer, whether that is chance, and whether they agree.
    """
    from stages.evaluate.people.rating import rate_sheets

    found = rate_sheets(sheets, key)
    typer.echo(json.dumps(found, indent=1) if as_json else rating_table(found))


def export_text(
    context: typer.Context,
    recipe: RecipePath,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the text files.")],
    ids: Annotated[
        bool, typer.Option("--ids", help="Write all hypotheses with ids and sources instead, for a scorer.")
    ] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Write all sources with ids and languages instead, for a translator.")
    ] = False,
    overrides: SetOption = None,
) -> None:
    """Write the distilled dataset as parallel text.

    They are as stock onmt_train takes them. With --ids: hypotheses.tsv, as soon as decode is done; with a column of
    numbers more it is a file for [[measure.columns]]. With --sources: sources.tsv, as soon as the corpus is there; with
    a column `target` more it is a file for a teacher of kind = "given".
    """
    from stages.dataset.stage import export_hypotheses, export_sources, export_text

    if ids and sources:
        raise ConfigError(["--ids and --sources exclude each other; give one of them"])
    if sources:
        found = export_sources(finished(context, recipe, overrides, "corpus"), folder)
        typer.echo(f"{folder / 'sources.tsv'}: {found['sources']:,} sources")
        return
    if not ids:
        export_text(finished(context, recipe, overrides, "dataset"), folder)
        return
    nodes = {node.name for node in read_done(context, recipe, overrides).graph.nodes}
    nbest = finished(context, recipe, overrides, "pool" if "pool" in nodes else "decode")
    found = export_hypotheses(finished(context, recipe, overrides, "corpus"), nbest, folder)
    typer.echo(f"{folder / 'hypotheses.tsv'}: {found['hypotheses']:,} hypotheses")


def export_teacher(
    context: typer.Context,
    recipe: RecipePath,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    overrides: SetOption = None,
) -> None:
    """Write the teacher as a folder for other recipes.

    In such a recipe: kind = "ctranslate2" and path = FOLDER below [teacher], kind = "teacher" below [tokenizer].
    """
    from stages.teacher.export import export_teacher as write

    for name in write(finished(context, recipe, overrides, "teacher"), folder):
        typer.echo(folder / name)
