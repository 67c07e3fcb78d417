"""The report's section on what is like references and teacher, and what looks wrong: rows by hand, the page parsed."""

from pathlib import Path
from typing import Any

from stages.report.facts import gather_metrics
from stages.report.likeness import likeness_section, likeness_signatures
from stages.report.page import ExampleRule, render_page
from tests.fixtures.made_up_run import evaluation, made_up_run
from tests.stages.report.test_report import Page


def scored(key: str, value: float, **more: Any) -> dict[str, Any]:
    return {key: value, f"{key}_interval": [value - 1, value + 2], **more}


def flags(any_: int, known: int = 480) -> dict[str, dict[str, int]]:
    counts = {"any": any_, "repetition": 1, "length": 0, "copy": 2, "language": 0, "empty": 0}
    return {
        name: {"count": count, "of": known if name in ("copy", "language") else 512} for name, count in counts.items()
    }


FORCED = {
    "sentences": 500,
    "left_out": 12,
    "systems": {role: scored("accuracy", value) for role, value in (("teacher", 71.25), ("student", 64.0))},
    "against_teacher": {
        "student": {**scored("kl", 1.25), **scored("agreement", 80.5)},
        "baseline": {"reason": "its vocabulary lacks tokens of the teacher's"},
    },
}
FOUND: dict[str, Any] = {
    "token_f1": {
        name: scored("f1", value, signature="words|tok:13a")
        for name, value in (("teacher", 66.0), ("student", 62.0), ("baseline", 55.0), ("teacher_beam1", 65.0))
    },
    "fidelity": {
        name: {**scored("chrf", value), **scored("bleu", value - 20), "equal": 123, "sentences": 512}
        for name, value in (("student", 70.0), ("baseline", 60.0), ("teacher_beam1", 90.0), ("student_beam5", 71.0))
    },
    "forced": {"reference": FORCED, "teacher": FORCED},
    "hallucinations": {
        "thresholds": {
            "repetition": 0.5,
            "shortest": 0.2,
            "longest": 5.0,
            "source_copy": 0.8,
            "language_probability": 0.1,
            "other_languages": [],
        },
        "systems": {"teacher": flags(4), "student": flags(7), "reference": flags(3)},
    },
}


def section(**changes: Any) -> dict[str, Any]:
    return likeness_section(evaluation() | FOUND | changes)


def test_rows_are_the_systems_and_the_teachers_other_beam() -> None:
    rows = {row["name"]: row for row in section()["likeness"]}
    assert list(rows) == ["Teacher, beam 5", "Student, greedy", "Baseline, greedy", "Teacher, greedy"]
    student, teacher = rows["Student, greedy"], rows["Teacher, beam 5"]
    assert student["f1"] == ("62.0", "61.0–64.0")
    assert student["accuracy"] == ("64.0%", "63.0–66.0")
    assert student["chrf"] == ("70.0", "69.0–72.0")
    assert student["equal"] == ("123", "of 512")
    assert student["agreement"] == ("80.5%", "79.5–82.5")
    assert student["kl"] == ("1.25", "0.25–3.25")
    assert (teacher["chrf"], teacher["kl"], teacher["accuracy"]) == (None, None, ("71.2%", "70.2–73.2"))
    assert rows["Baseline, greedy"]["kl"] is None
    assert rows["Teacher, greedy"]["aside"]


def test_the_note_says_along_what_and_why_something_is_missing() -> None:
    note = section()["likeness_note"]
    assert "along the teacher’s translations of 500 sentences" in note
    assert "Not given for the baseline: its vocabulary lacks tokens of the teacher's." in note
    alone = section(forced={"reference": FORCED})["likeness_note"]
    assert "along the references of 500 sentences" in alone
    assert "Teacher-forced" not in section(forced={})["likeness_note"]


def test_the_note_names_the_columns_that_there_are() -> None:
    comet = {"model": "x", "signature": "x", "systems": {"student": scored("comet", 0.8)}}
    against = " against the references; chrF, BLEU and same text against the teacher’s translations."
    assert section()["likeness_note"].startswith(f"Word F1 and token accuracy are{against}")
    assert section(comet=comet)["likeness_note"].startswith(f"Word F1, token accuracy and COMET are{against}")
    teacher_only = section(forced={"teacher": FORCED})["likeness_note"]
    assert teacher_only.startswith(f"Word F1 is{against}")
    assert "Teacher-forced are same top token and KL: along the teacher’s translations" in teacher_only
    on_references = section(forced={"reference": FORCED})["likeness_note"]
    assert "token accuracy, on the references, and same top token and KL: along the references of" in on_references


def test_comet_is_a_column_or_a_reason() -> None:
    scores = {"model": "x", "signature": "x|version:2", "systems": {"student": scored("comet", 0.8125)}}
    assert section(comet=scores)["comet"] is True
    assert section(comet=scores)["likeness"][1]["comet"] == ("0.812", "-0.188–2.812")
    assert likeness_signatures(FOUND | {"comet": scores}) == [("Word F1", "words|tok:13a"), ("COMET", "x|version:2")]
    absent = section(comet={"model": "x", "absent": "the package unbabel-comet is not installed"})
    assert absent["comet"] is False
    assert "COMET: the package unbabel-comet is not installed." in absent["likeness_note"]


def test_flags_are_counts_with_what_was_known() -> None:
    student, reference = section()["flags"][1:]
    assert student["cells"][:2] == [("Any", "7", "1.4%"), ("Loop", "1", "")]
    assert student["cells"][3] == ("Copy", "2", "of 480")
    assert (reference["name"], reference["aside"]) == ("References", True)
    assert "over 50% of the words" in section()["flags_note"]


def test_the_page_shows_both_tables(tmp_path: Path) -> None:
    metrics = gather_metrics(made_up_run(tmp_path)) | FOUND
    page = Page(render_page(metrics, {}, [], ExampleRule(0, 1, 1), ""))
    assert ("section", {"id": "likeness"}) in page.elements
    assert ("a", {"href": "#likeness"}) in page.elements
    for words in ("Token accuracy", "80.5%79.5–82.5", "123of 512", "How many look wrong", "71.4%", "Word F1 words|tok"):
        assert words in page.text
    plain = Page(render_page(gather_metrics(made_up_run(tmp_path / "other")), {}, [], ExampleRule(0, 1, 1), ""))
    assert "How like references and teacher" not in plain.text
