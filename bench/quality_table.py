"""The comparison as figures and as the tables of docs/quality.md."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.methods import BY_NAME, REFERENCES
from bench.quality_rows import Comparison, Row
from bench.records import Record, record
from stages.evaluate.quality import Scoring
from stages.presentation.figures import p_value

PAGE = Path(__file__).parents[1] / "docs" / "quality.md"
BEGIN, END = "<!-- table of recipes/{}.toml, by `make bench-quality` -->", "<!-- end of the table -->"
# A student that may be called the best has so many of the teacher's parameters at most.
MOST_PARAMETERS = 0.2
PACKAGES = ("OpenNMT-py", "torch", "ctranslate2", "sacrebleu")


def records_of(comparison: Comparison) -> list[Record]:
    """`chrf_<method>` of all, the teacher's, and the two figures that the whole is about."""
    rows, teacher = comparison.rows, comparison.teacher.chrf
    found = [_record("chrf_teacher", teacher, "chrF", "", {"beam": 5})]
    found += [_record(f"chrf_{row.method.name}", row.mean, "chrF", "", _detail(row)) for row in rows]
    small = [row for row in rows if row.size <= MOST_PARAMETERS]
    if not small:
        return found
    best = max(small, key=lambda row: row.mean)
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


def table(comparison: Comparison, recipe: str) -> str:
    """Of the methods of a recipe, in Markdown."""
    rows, teacher = comparison.of(recipe), comparison.teacher.chrf
    beam = any(row.searched for row in rows)
    more = [" chrF, beam 5 | of the teacher |", "--:|--:|", f" {teacher:.1f} | 100% |"] if beam else [""] * 3
    lines = [
        f"| method | seeds | chrF | of the teacher |{more[0]} BLEU | against | chrF difference, 95% interval | p "
        "| CPU minutes |",
        f"|---|--:|--:|--:|{more[1]}--:|---|--:|--:|--:|",
        f"| teacher, beam 5 | | {teacher:.1f} | 100% |{more[2]} {comparison.teacher.bleu:.1f} | | | | |",
    ]
    return "\n".join([*lines, *(_line(row, teacher, beam) for row in rows)])


def write_page(comparison: Comparison) -> None:
    """Puts each recipe's table into docs/quality.md, between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    for recipe in REFERENCES:
        begin = BEGIN.format(recipe)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        page = f"{before}{begin}\n\n{table(comparison, recipe)}\n\n{END}{after}"
    PAGE.write_text(page, encoding="utf-8")


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
    return [
        f"{difference['difference']:+.1f} ({low:+.1f} to {high:+.1f})",
        p_value(difference["p_value"], Scoring().samples),
    ]


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
        "parameters_vs_teacher": round(row.size, 4),
        "training_minutes": round(row.minutes, 1),
        "difference": row.difference,
    }
