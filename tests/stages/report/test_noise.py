"""What the page says of noise, from figures made by hand."""

from pathlib import Path
from typing import Any

from data.runtime import Runtime
from stages.report.noise import corpus_noise, noise_section
from stages.report.stage import Config, run
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.made_up_run import made_up_run


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


def test_the_page_has_the_section_where_the_evaluation_has_noise(tmp_path: Path) -> None:
    inputs = made_up_run(tmp_path)
    kinds = [{"kind": "typos", "sentences": 77, "systems": {"student": scores(33.25, 55)}}]
    other = new_artifact(tmp_path / "noisy", "evaluate")
    for name in inputs["evaluate"].shard_names():
        other.write_shard(name, inputs["evaluate"].read_shard(name))
    found = inputs["evaluate"].manifest().metrics | {"noise": {"sets": kinds}}
    pages = []
    for evaluated in (inputs["evaluate"], closed(other, found)):
        output = new_artifact(tmp_path / f"report{len(pages)}", "report")
        metrics = run({**inputs, "evaluate": evaluated}, Config(), output, Runtime())
        assert ("noise" in metrics) == bool(pages)
        pages.append((output.work_path() / "index.html").read_text(encoding="utf-8"))
    assert 'id="noise"' not in pages[0]
    section = pages[1].partition('<section id="noise">')[2].partition("</section>")[0]
    assert "33.2<small>32.2–34.2, clean 55.0</small>" in section
    assert '<a href="#noise">Noise</a>' in pages[1]
