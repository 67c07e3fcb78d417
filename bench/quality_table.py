"""The comparison as figures and as a table: what every way of training the student is worth."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.methods import BY_NAME, REFERENCES, Method
from bench.quality_results import TEACHER, Result, read_references
from bench.records import Record, record
from bench.seeded import chrf_difference
from stages.evaluation.quality import Scoring

PAGE = Path(__file__).parents[1] / "docs" / "quality.md"
BEGIN, END = "<!-- table of recipes/{}.toml, by `make bench-quality` -->", "<!-- end of the table -->"
PACKAGES = ("OpenNMT-py", "torch", "ctranslate2", "sacrebleu")
_SCORING = Scoring()


@dataclass(frozen=True)
class Row:
    """A method: its scores, a seed each, and how it stands against another method."""

    method: Method
    seeds: tuple[int, ...]
    chrf: tuple[float, ...]
    bleu: tuple[float, ...]
    searched: tuple[float, ...]  # chrF with the teacher's beam, of the seeds that were asked for it
    minutes: float  # that a training computed, median
    difference: Mapping[str, Any] | None  # as chrf_difference gives it

    @property
    def mean(self) -> float:
        """chrF over all seeds."""
        return statistics.mean(self.chrf)


def rows_of(results: Sequence[Result], references: Sequence[str]) -> list[Row]:
    """A row for every method that has a result, in the order of bench/methods.py."""
    by_method: dict[str, list[Result]] = {}
    for result in results:
        # One that was trained by other keys than the method has today is not one of it.
        if result.method in BY_NAME and result.facts.changes == BY_NAME[result.method].changes:
            by_method.setdefault(result.method, []).append(result)
    return [_row(method, by_method, references) for method in BY_NAME.values() if method.name in by_method]


def records_of(results: Sequence[Result]) -> list[Record]:
    """`chrf_<method>` of all, the teacher's, and the two figures that the whole is about."""
    references = read_references()
    rows, teacher = rows_of(results, references), _teacher_chrf(results, references)
    found = [_record("chrf_teacher", teacher, "chrF", "", {"beam": 5})]
    found += [_record(f"chrf_{row.method.name}", row.mean, "chrF", "", _detail(row)) for row in rows]
    if not rows:
        return found
    best = max(rows, key=lambda row: row.mean)
    found.append(_record("best_chrf_retention", best.mean / teacher, "ratio", "the teacher's chrF", _detail(best)))
    if best.searched:
        value = statistics.mean(best.searched) / teacher
        found.append(_record("best_chrf_retention_same_beam", value, "ratio", "the teacher's chrF", _detail(best)))
    plain = next((row for row in rows if row.method.name == REFERENCES[best.method.recipe]), None)
    if plain is not None:
        gain = best.mean - plain.mean
        found.append(
            _record("best_gain_over_reference_chrf", gain, "chrF", "the same student on references", _detail(best))
        )
    return found


def table(results: Sequence[Result], references: Sequence[str], recipe: str) -> str:
    """Of the methods of a recipe, in Markdown."""
    teacher = _teacher_chrf(results, references)
    rows = [row for row in rows_of(results, references) if row.method.recipe == recipe]
    beam = any(row.searched for row in rows)
    more = [" chrF, beam 5 | of the teacher |", "--:|--:|", f" {teacher:.1f} | 100% |"] if beam else [""] * 3
    lines = [
        f"| method | seeds | chrF | of the teacher |{more[0]} BLEU | against | chrF difference, 95% interval | p "
        "| CPU minutes |",
        f"|---|--:|--:|--:|{more[1]}--:|---|--:|--:|--:|",
        f"| teacher, beam 5 | | {teacher:.1f} | 100% |{more[2]} {_teacher_bleu(results, references):.1f} | | | | |",
    ]
    return "\n".join([*lines, *(_line(row, teacher, beam) for row in rows)])


def write_page(results: Sequence[Result]) -> None:
    """Puts each recipe's table into docs/quality.md, between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    for recipe in REFERENCES:
        begin = BEGIN.format(recipe)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        page = f"{before}{begin}\n\n{table(results, read_references(), recipe)}\n\n{END}{after}"
    PAGE.write_text(page, encoding="utf-8")


def _row(method: Method, by_method: Mapping[str, Sequence[Result]], references: Sequence[str]) -> Row:
    results = sorted(by_method[method.name], key=lambda result: result.seed)
    plain = REFERENCES[method.recipe]
    against = by_method.get(method.against or plain)
    difference = None
    if against and method.name != plain:
        mine, theirs = ([each.translations for each in side] for side in (results, against))
        difference = chrf_difference(mine, theirs, references, _SCORING)
    scores = [_scores(result, references) for result in results]
    return Row(
        method=method,
        seeds=tuple(result.seed for result in results),
        chrf=tuple(chrf for chrf, _ in scores),
        bleu=tuple(bleu for _, bleu in scores),
        searched=tuple(_chrf(each.searched, references) for each in results if each.searched is not None),
        minutes=statistics.median(result.facts.training["cpu_seconds"] / 60 for result in results),
        difference=difference,
    )


def _scores(result: Result, references: Sequence[str]) -> tuple[float, float]:
    """chrF and BLEU of the test set."""
    from sacrebleu.metrics import BLEU

    bleu = BLEU().corpus_score(list(result.translations), [list(references)]).score
    return _chrf(result.translations, references), bleu


def _chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    from sacrebleu.metrics import CHRF

    return float(CHRF().corpus_score(list(translations), [list(references)]).score)


def _teacher_chrf(results: Sequence[Result], references: Sequence[str]) -> float:
    return _teacher_scores(results, references)[0]


def _teacher_bleu(results: Sequence[Result], references: Sequence[str]) -> float:
    return _teacher_scores(results, references)[1]


def _teacher_scores(results: Sequence[Result], references: Sequence[str]) -> tuple[float, float]:
    return _scores(next(result for result in results if result.method == TEACHER), references)


def _line(row: Row, teacher: float, beam: bool) -> str:
    """`beam`: with the columns of the teacher's beam."""
    searched = statistics.mean(row.searched) if row.searched else None
    of_beam = ["", ""] if searched is None else [f"{searched:.1f}", f"{searched / teacher:.1%}"]
    spread = f" ± {statistics.stdev(row.chrf):.1f}" if len(row.chrf) > 1 else ""
    cells = [
        row.method.title,
        str(len(row.seeds)),
        f"{row.mean:.1f}{spread}",
        f"{row.mean / teacher:.1%}",
        *(of_beam if beam else []),
        f"{statistics.mean(row.bleu):.1f}",
        "" if row.difference is None else BY_NAME[row.method.against or REFERENCES[row.method.recipe]].title,
        *_difference_cells(row.difference),
        f"{row.minutes:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _difference_cells(difference: Mapping[str, Any] | None) -> list[str]:
    if difference is None:
        return ["", ""]
    low, high = difference["interval"]
    return [f"{difference['difference']:+.1f} ({low:+.1f} to {high:+.1f})", f"{difference['p_value']:.3f}"]


def _record(name: str, value: float, unit: str, compared_with: str, detail: Mapping[str, Any]) -> Record:
    return record(name, value, unit, threads=1, packages=PACKAGES, compared_with=compared_with, detail=detail)


def _detail(row: Row) -> dict[str, Any]:
    return {
        "method": row.method.name,
        "changes": list(row.method.changes),
        "seeds": list(row.seeds),
        "chrf": [round(value, 3) for value in row.chrf],
        "bleu": [round(value, 3) for value in row.bleu],
        "chrf_same_beam": [round(value, 3) for value in row.searched],
        "training_minutes": round(row.minutes, 1),
        "difference": row.difference,
    }
