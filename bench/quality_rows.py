"""The comparison worked out of its results: what every way of training the student is worth."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.methods import BY_NAME, REFERENCES, Method
from bench.quality_results import TEACHER, Result
from bench.seeded import chrf_difference
from stages.evaluate.quality import Scoring

_SCORING = Scoring()


@dataclass(frozen=True)
class Scores:
    """Of a set of translations."""

    chrf: float
    bleu: float


@dataclass(frozen=True)
class Row:
    """A method: its scores, a seed each, and how it stands against another method."""

    method: Method
    seeds: tuple[int, ...]
    chrf: tuple[float, ...]
    bleu: tuple[float, ...]
    searched: tuple[float, ...]  # chrF with the teacher's beam, of the seeds that were asked for it
    minutes: float  # that a training computed, median
    size: float  # its parameters over the teacher's
    difference: Mapping[str, Any] | None  # as chrf_difference gives it

    @property
    def mean(self) -> float:
        """chrF over all seeds."""
        return statistics.mean(self.chrf)


@dataclass(frozen=True)
class Comparison:
    """The teacher, and a row for every method that has a result, in the order of bench/methods.py."""

    teacher: Scores
    rows: Sequence[Row]

    def of(self, recipe: str) -> list[Row]:
        """The rows that change this recipe."""
        return [row for row in self.rows if row.method.recipe == recipe]


def compare(results: Sequence[Result], references: Sequence[str]) -> Comparison:
    """Scores all that was trained by the keys that its method has today; what was trained by others is not of it."""
    (teacher,) = [result for result in results if result.method == TEACHER]
    by_method: dict[str, list[Result]] = {}
    for result in results:
        if result.method in BY_NAME and result.facts.changes == BY_NAME[result.method].changes:
            by_method.setdefault(result.method, []).append(result)
    rows = [_row(method, by_method, teacher, references) for method in BY_NAME.values() if method.name in by_method]
    return Comparison(_scores(teacher.translations, references), rows)


def _row(method: Method, by_method: Mapping[str, Sequence[Result]], teacher: Result, references: Sequence[str]) -> Row:
    results = sorted(by_method[method.name], key=lambda result: result.seed)
    plain = REFERENCES[method.recipe]
    against = by_method.get(method.against or plain)
    difference = None
    if against and method.name != plain:
        mine, theirs = ([each.translations for each in side] for side in (results, against))
        difference = chrf_difference(mine, theirs, references, _SCORING)
    scores = [_scores(result.translations, references) for result in results]
    return Row(
        method=method,
        seeds=tuple(result.seed for result in results),
        chrf=tuple(each.chrf for each in scores),
        bleu=tuple(each.bleu for each in scores),
        searched=tuple(_scores(each.searched, references).chrf for each in results if each.searched is not None),
        minutes=statistics.median(result.facts.training["cpu_seconds"] / 60 for result in results),
        size=max(result.facts.parameters for result in results) / teacher.facts.parameters,
        difference=difference,
    )


def _scores(translations: Sequence[str], references: Sequence[str]) -> Scores:
    from sacrebleu.metrics import BLEU, CHRF

    chrf, bleu = (metric.corpus_score(list(translations), [list(references)]).score for metric in (CHRF(), BLEU()))
    return Scores(chrf, bleu)
