"""Where quality goes between teacher and student: what the page and its chart say of the steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.presentation import figures
from stages.report.charts import Chart, Level, level_chart
from stages.report.trainings import listed

_ROLES = {"teacher": "teacher", "selected": "teacher", "student_float32": "student", "student": "student"}
_SHORT = {"teacher": "Teacher", "selected": "Selected", "student_float32": "float32"}
# What lies between a step and the one before.
_CAUSES = {"selected": "choosing among hypotheses", "student_float32": "learning", "student": "rounding weights"}
_METRICS = {
    "score": "the teacher’s own score",
    "chrf": "chrF to the reference",
    "bleu": "BLEU to the reference",
    "mbr-chrf": "chrF to one another",
}
_NEED_A_REFERENCE = ("chrf", "bleu")


def attribution_section(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All that the section shows; without an attribution in the metrics, empty `attribution`."""
    found = metrics.get("attribution")
    if not found:
        return {"attribution": []}
    steps = found["steps"]
    names = {step["name"]: _name(step["name"], metrics["systems"]) for step in steps}
    return {
        "attribution": [
            _row(step, names[step["name"]], found, metrics["settings"]["bootstrap_samples"]) for step in steps
        ],
        "attribution_text": summary(steps),
        "attribution_chart": _chart(steps, names, metrics["systems"]["student"]["quantization"]),
        "attribution_note": "All on the same test set. Each change is against the row above it, with its 95% interval "
        "and p-value by paired bootstrap resampling; together they are the whole way from teacher to student.",
    }


def summary(steps: Sequence[Mapping[str, Any]]) -> str:
    """The way from the first step's chrF to the last one's, in a sentence."""
    parts = [f"{_CAUSES[step['name']]} {figures.signed(step['change']['chrf']['difference'])}" for step in steps[1:]]
    first, last = steps[0]["chrf"], steps[-1]["chrf"]
    return f"From the teacher’s {first:.1f} chrF to the student’s {last:.1f}: {listed(parts)}."


def _name(step: str, systems: Mapping[str, Mapping[str, Any]]) -> str:
    if step == "selected":
        return "Selected hypotheses"
    system = systems["teacher" if step == "teacher" else "student"]
    shown = {"teacher": "Teacher", "student_float32": "Student in float32"}
    return f"{shown.get(step, 'Student in ' + system['quantization'])}, {figures.decoding(system['beam'])}"


def _row(step: Mapping[str, Any], name: str, found: Mapping[str, Any], samples: int) -> dict[str, Any]:
    row = {
        "name": name,
        "role": _ROLES[step["name"]],
        "aside": step["name"] == "selected",
        "note": _note(found) if step["name"] == "selected" else "",
    }
    for key in ("chrf", "bleu"):
        row[key], row[f"{key}_interval"] = f"{step[key]:.1f}", figures.interval(step[f"{key}_interval"])
        change = (step["change"] or {}).get(key)
        row[f"{key}_change"] = figures.signed(change["difference"]) if change else ""
        row[f"{key}_change_interval"] = figures.interval(change["interval"], signed=True) if change else ""
        row[f"{key}_p"] = figures.p_value(change["p_value"], samples) if change else ""
    return row


def _note(found: Mapping[str, Any]) -> str:
    knows = found["metric"] in _NEED_A_REFERENCE
    return (
        f"best of {found['hypotheses']} ({figures.decoding(found['beam'])}) by {_METRICS[found['metric']]}: what the "
        "student is taught" + (", not what a system could know" if knows else "")
    )


def _chart(steps: Sequence[Mapping[str, Any]], names: Mapping[str, str], quantization: str) -> Chart:
    levels = [
        Level(
            role=_ROLES[step["name"]],
            label=names[step["name"]],
            short_label=_SHORT.get(step["name"], quantization),
            value=step["chrf"],
            interval=tuple(step["chrf_interval"]),
            filled=step["name"] != "selected",
        )
        for step in steps
    ]
    spoken = "; ".join(f"{level.label}: chrF {level.value:.1f}" for level in levels)
    return level_chart(levels, "chrF", f"Quality from step to step. {spoken}.")
