"""What the page says of noise, from figures made by hand."""

from typing import Any

from stages.report.noise import corpus_noise, noise_section


def scores(noised: float, clean: float) -> dict[str, Any]:
    def of(chrf: float) -> dict[str, Any]:
        return {"chrf": chrf, "chrf_interval": [chrf - 1, chrf + 1], "bleu": chrf / 2}

    return {"noised": of(noised), "clean": of(clean)}


def test_every_kind_has_a_row_with_the_same_sentences_clean() -> None:
    sets = [
        {"kind": "upper_case", "sentences": 480, "systems": {"teacher": scores(30, 60), "student": scores(55.25, 58)}},
        {"kind": "missing_diacritics", "sentences": 0, "systems": {}},
        {"kind": "all", "sentences": 1500, "systems": {"teacher": scores(40, 60), "student": scores(56, 58)}},
    ]
    found = noise_section({"noise": {"sets": sets}})
    assert found["noise_roles"] == ["Teacher", "Student"]
    assert [(row["name"], row["sentences"]) for row in found["noise"]] == [
        ("upper case", "480"),
        ("missing diacritics", "0"),
        ("all kinds", "1,500"),
    ]
    assert found["noise"][0]["cells"][1] == ("Student", ("55.2", "54.2–56.2, clean 58.0"))
    assert found["noise"][1]["cells"] == [("Teacher", ("–", "")), ("Student", ("–", ""))]


def test_without_noise_nothing_is_said() -> None:
    assert noise_section({})["noise"] == []
    assert corpus_noise({}) == ""


def test_the_corpus_says_how_many_rows_were_really_changed() -> None:
    kinds = {"upper_case": {"drawn": 1200, "changed": 1100}, "typos": {"drawn": 30, "changed": 30}}
    assert corpus_noise({"noise": {"read_by": "student", "changed": 1130, "kinds": kinds}}) == (
        " Noise was written into the sources of 1,130 training rows (1,100 upper case, 30 typos); the student alone "
        "reads it."
    )
