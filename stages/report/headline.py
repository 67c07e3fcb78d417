"""What came out, in a sentence or two."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from stages.presentation.figures import decoding, interval, plural, rate
from stages.report.trainings import same_student


class Part(NamedTuple):
    """A stretch of a sentence; `strong` is what the eye should catch."""

    text: str
    strong: bool = False


def headline(metrics: Mapping[str, Any]) -> list[list[Part]]:
    """What came out, in one sentence, and what distillation was worth in another where there is a baseline."""
    ratios, systems = metrics["ratios"], metrics["systems"]
    if "speedup_vs_teacher" not in ratios:
        return [_beside_given(metrics), *_worth(metrics)]
    teacher, student = systems["teacher"], systems["student"]
    threads = plural(metrics["settings"]["threads"], "thread")
    first = [
        Part("With "),
        Part(f"{100 * ratios['parameters_vs_teacher']:.1f}%", True),
        Part(" of the teacher’s parameters the student keeps "),
        Part(f"{100 * ratios['chrf_vs_teacher']:.1f}%", True),
        Part(f" of its chrF ({student['chrf']:.1f} against {teacher['chrf']:.1f}) and translates "),
        Part(f"{ratios['speedup_vs_teacher']:.1f} times", True),
        Part(
            f" as many sentences a second: {rate(student['sentences_per_second'])} "
            f"({decoding(student['beam'])}) against {rate(teacher['sentences_per_second'])} "
            f"({decoding(teacher['beam'])}), both on {threads}."
        ),
    ]
    return [first, *_worth(metrics)]


def _beside_given(metrics: Mapping[str, Any]) -> list[Part]:
    """Of a teacher that is no model: there is no speed and no size to compare with, and perhaps no translation."""
    systems, ratios = metrics["systems"], metrics["ratios"]
    student, threads = systems["student"], plural(metrics["settings"]["threads"], "thread")
    speed = (
        f" and translates {rate(student['sentences_per_second'])} sentences a second ({decoding(student['beam'])}, on "
        f"{threads})"
    )
    if "chrf_vs_teacher" not in ratios:
        return [Part("The student has "), Part(f"{student['chrf']:.1f} chrF", True), Part(f"{speed}.")]
    return [
        Part("The student keeps "),
        Part(f"{100 * ratios['chrf_vs_teacher']:.1f}%", True),
        Part(
            f" of the chrF of its teacher’s translations, which were given ({student['chrf']:.1f} against "
            f"{systems['teacher']['chrf']:.1f}),{speed}. They come without a model, so there is no speed or size to "
            "compare with."
        ),
    ]


def _worth(metrics: Mapping[str, Any]) -> list[list[Part]]:
    pairs = {(row["system"], row["against"]): row["chrf"] for row in metrics["comparisons"]}
    found = pairs.get(("student", "baseline"))
    if found is None:
        return []
    direction = "above" if found["difference"] >= 0 else "below"
    low, high = sorted(abs(bound) for bound in found["interval"])
    bounds = (
        f"95% interval {low:.1f} to {high:.1f}"
        if found["interval"][0] * found["interval"][1] > 0
        else f"95% interval {interval(found['interval'], signed=True)}, so chance may explain it"
    )
    baseline = metrics["systems"]["baseline"]["chrf"]
    return [
        [
            Part(f"Trained on the references alone, {same_student(metrics['stages'])} reaches "),
            Part(
                f"{baseline:.1f} chrF; the distilled one is {abs(found['difference']):.1f} {direction} that ({bounds})."
            ),
        ]
    ]
