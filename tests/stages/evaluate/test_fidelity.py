"""Fidelity against sacrebleu with the teacher's translations in the place of references."""

import pytest
from sacrebleu.metrics import BLEU, CHRF

from stages.evaluate.closer import measure_fidelity
from stages.evaluate.quality import Scoring

TEACHER = ["Das Licht in der Küche ist an", "Der Sensor {name} ist nicht verfügbar", "Verbindung fehlgeschlagen"] * 8
STUDENT = ["Das Licht in der Küche ist an", "Der Sensor {name} ist nicht da", "Verbindung ist fehlgeschlagen"] * 8


def test_the_teachers_translations_are_the_references() -> None:
    translated = {"teacher": TEACHER, "student": STUDENT, "teacher_beam1": TEACHER}
    found = measure_fidelity(translated, Scoring("13a", 100, 12345))
    assert set(found) == {"student", "teacher_beam1"}
    for key, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        expected = metric.corpus_score(STUDENT, [TEACHER], n_bootstrap=100)
        assert found["student"][key] == pytest.approx(expected.score)
        assert found["student"]["signatures"][key] == str(metric.get_signature())
        low, high = found["student"][f"{key}_interval"]
        assert low < found["student"][key] < high
        assert found["teacher_beam1"][key] == pytest.approx(100)
    assert (found["student"]["equal"], found["student"]["sentences"]) == (8, 24)
    assert found["teacher_beam1"]["equal"] == 24
    assert "ter" not in found["student"]
