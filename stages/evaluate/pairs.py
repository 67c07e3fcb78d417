"""Quality language pair by language pair, and apart from them the directions that the student was never trained on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from data.language_tags import Direction
from data.model_folder import TeacherInfo
from stages.evaluate.hallucinations import Config as Hallucinations
from stages.evaluate.hallucinations import Row, count_flags, find_flags
from stages.evaluate.quality import Scoring, score_systems
from stages.languages.directions import directions_of, grouped

Standing = Literal["learned", "zero-shot"]
Lines = Sequence[str | None]


@dataclass(frozen=True)
class Candidate:
    """A model that can be asked for lines, each in its direction, as it is used in the evaluation."""

    info: TeacherInfo
    translate: Callable[[Sequence[str], Sequence[Direction]], list[str]]


def standing(info: TeacherInfo, direction: Direction) -> Standing | None:
    """Whether a model learned a direction, knows no more than its languages (zero-shot), or cannot be asked."""
    if info.is_tagged() and not set(direction) <= set(info.language_names):
        return None
    if info.translates(str(direction)):
        return "learned"
    return "zero-shot" if info.is_tagged() else None


def learned_all(info: TeacherInfo, directions: Iterable[Direction]) -> bool:
    """Whether a model learned each of them."""
    return all(standing(info, direction) == "learned" for direction in directions)


def told_apart(rows: pa.Table, infos: Sequence[TeacherInfo]) -> tuple[pa.Table, pa.Table]:
    """Rows of the pairs that all these models learned, and the others."""
    common = [all(learned_all(info, [direction]) for info in infos) for direction in directions_of(rows)]
    mask = pa.array(common, pa.bool_())
    return rows.filter(mask), rows.filter(pa.array([not kept for kept in common], pa.bool_()))


def chosen(candidates: Sequence[Candidate], direction: Direction) -> tuple[Candidate, Standing] | None:
    """The first that learned a direction, else the first that can be asked for it."""
    found = [(candidate, how) for candidate in candidates if (how := standing(candidate.info, direction))]
    return min(found, key=lambda one: one[1] == "zero-shot", default=None)


def translate_apart(rows: pa.Table, systems: Mapping[str, Sequence[Candidate]]) -> dict[str, list[str | None]]:
    """Each system's translation of each row; None where none of its models can be asked for the direction."""
    sources = rows["source"].to_pylist()
    found: dict[str, list[str | None]] = {name: [None] * rows.num_rows for name in systems}
    for direction, places in grouped(directions_of(rows)):
        for name, candidates in systems.items():
            if (asked := chosen(candidates, direction)) is None:
                continue
            lines = asked[0].translate([sources[place] for place in places], [direction] * len(places))
            for place, line in zip(places, lines, strict=True):
                found[name][place] = line
    return found


def score_pairs(
    rows: pa.Table,
    translated: Mapping[str, Lines],
    systems: Mapping[str, Sequence[Candidate]],
    scoring: Scoring,
    wrong: Hallucinations,
    *,
    tokenizer_by_language: bool,
) -> list[dict[str, Any]]:
    """Of each pair of the rows, those that the student learned first: {"pair", "sentences", "zero_shot", "systems"}.

    `systems`: {name: chrF, BLEU and TER with intervals and signatures, "zero_shot", "wrong_language"} of those that can
    be asked for it; `zero_shot` says that the student, or the system, was never trained on the pair, `wrong_language`
    counts translations that are not in its target language, by `wrong`, where that is enabled.
    `tokenizer_by_language`: BLEU's tokenisation is that of the pair's target language, and not the one of `scoring`.
    """
    sources = rows["source"].to_pylist()
    references = rows["reference"].to_pylist()
    found = []
    for direction, places in grouped(directions_of(rows)):
        how = {name: one[1] for name, models in systems.items() if (one := chosen(models, direction))}
        lines = {name: [str(translated[name][place]) for place in places] for name in how}
        own = scoring.of_languages([direction.target], tokenizer_by_language=tokenizer_by_language)
        scores = score_systems(lines, [references[place] for place in places], own)
        asked = [Row(sources[place], *direction) for place in places]
        found.append(
            {
                "pair": str(direction),
                "source_language": direction.source,
                "target_language": direction.target,
                "sentences": len(places),
                "zero_shot": how.get("student") != "learned",
                "systems": {
                    name: {
                        **scores[name],
                        "zero_shot": how[name] == "zero-shot",
                        **_wrong_language(asked, lines[name], wrong),
                    }
                    for name in how
                },
            }
        )
    return sorted(found, key=lambda one: (one["zero_shot"], one["pair"]))


def _wrong_language(rows: Sequence[Row], lines: Sequence[str], wrong: Hallucinations) -> dict[str, Any]:
    return {"wrong_language": count_flags(*find_flags(rows, lines, wrong))["language"]} if wrong.enabled else {}
