"""The report of a made-up run: read back by an HTML parser, and against numbers computed another way."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sacrebleu import sentence_chrf

from data.errors import DataError
from data.runtime import Runtime
from data.soft_targets import unpack
from stages.report.examples import build_examples, choose_rows
from stages.report.facts import describe_soft_targets, gather_metrics, read_curves
from stages.report.page import ExampleRule, render_page
from stages.report.stage import Config, run
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.made_up_run import TRANSLATIONS, evaluation, made_up_run, translations

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """All elements with attributes, ids, and the visible text; fails where tags do not nest."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    root = tmp_path_factory.mktemp("report")
    output = new_artifact(root, "report")
    metrics = run(made_up_run(root), Config(), output, Runtime())
    assert json.loads((output.work_path() / "metrics.json").read_text(encoding="utf-8")) == metrics
    return metrics, (output.work_path() / "index.html").read_text(encoding="utf-8")


def test_metrics_hold_what_is_promised(report: tuple[dict[str, Any], str]) -> None:
    metrics, _ = report
    promised = {
        "chrf",
        "bleu",
        "signatures",
        "sentences_per_second",
        "tokens_per_second",
        "parameters",
        "bytes",
        "beam",
    }
    for role in ("teacher", "student", "baseline"):
        assert promised <= set(metrics["systems"][role])
    assert metrics["filter"]["accepted"] == 21_711
    assert metrics["corpus"]["splits"]["train"]["rows"] == 23_911
    assert metrics["training"]["student"]["steps"] == metrics["training"]["baseline"]["steps"] == 4000
    assert metrics["stages"]["decode"]["rows"] == 400
    assert metrics["stages"]["student"]["seconds"] == 611
    assert metrics["versions"]["ctranslate2"] == "4.8.5"


def test_soft_targets_are_summed_over_every_position(tmp_path: Path) -> None:
    score = made_up_run(tmp_path)["score"]
    positions = [target for table in score.tables() for target in unpack(table)]
    kept = [sum(math.exp(float(value)) for value in row) for target in positions for row in target.topk_log_probs]
    entropies = [float(value) for target in positions for value in target.entropy]
    forced = [
        float(value) >= float(row[0])
        for target in positions
        for value, row in zip(target.token_log_probs, target.topk_log_probs, strict=True)
    ]
    found = describe_soft_targets(score)
    assert (found["k"], found["rows"], found["tokens"], found["backend"]) == (4, 4, len(kept), "torch")
    assert found["mean_kept_mass"] == pytest.approx(sum(kept) / len(kept), abs=1e-3)  # stored in 16 bits
    assert found["conditioning"] == "hypothesis"
    assert found["mean_entropy"] == pytest.approx(sum(entropies) / len(kept), rel=1e-9)
    assert found["top1_share"] == pytest.approx(sum(forced) / len(kept))
    files = [Path(score.path(), f"{name}.parquet").stat().st_size for name in score.shard_names()]
    assert found["bytes"] == sum(files)
    assert found["bytes_per_token"] == pytest.approx(sum(files) / len(kept))


def test_an_artefact_without_soft_targets_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no soft targets"):
        describe_soft_targets(closed(new_artifact(tmp_path, "score")))


def test_the_page_asks_for_nothing_and_runs_nothing(report: tuple[dict[str, Any], str]) -> None:
    _, content = report
    page = Page(content)
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "base", "b"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in content
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", content))


def test_ids_are_unique_and_links_lead_somewhere(report: tuple[dict[str, Any], str]) -> None:
    page = Page(report[1])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [target for _, attributes in page.elements if (target := attributes.get("href"))]
    assert len(links) >= 7
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_markup_in_the_corpus_is_shown_as_text(report: tuple[dict[str, Any], str]) -> None:
    page = Page(report[1])
    assert "<script>alert('x')</script> is not allowed in {field}" in page.text
    assert "<img src=x onerror=alert(1)> ist nicht gültig" in page.text
    assert "press <b>Submit</b> & wait." in page.text


def test_the_page_shows_the_numbers(report: tuple[dict[str, Any], str]) -> None:
    text = Page(report[1]).text
    for words in (
        "English to German",
        "With 20.1% of the teacher’s parameters the student keeps 93.5% of its chrF (55.8 against 59.7) and translates "
        "12.4 times as many sentences a second: 521 (greedy) against 42 (beam 5), both on 2 threads.",
        "the same student reaches 49.1 chrF; the distilled one is 6.7 above that (95% interval 5.5 to 7.8)",
        "512 held-out sentences",
        "Lines are 95% intervals; open circles are the other beam. Up and to the right is better.",
        "trained on: of the student on the dataset’s targets and the references, of the baseline on the references.",
        "36 sentences drawn at random from the 56 of the test set, with seed 1",
        "21,711 of 23,911 rows (90.8%)",
        "AMD EPYC 9R14",
        "log prob per tokenat least −2.31",
        "5,120 duplicate source",
        "0123456789abcdef0123",
        "nrefs:1|bs:1000|seed:12345|case:mixed|version:2.6.0|nc:6|nw:0",
        "≤ 0.002",
        "torch 2.13.0",
    ):
        assert words in text


def shown(tmp_path: Path, systems: dict[str, Any]) -> tuple[str, str]:
    """A page with these systems beside those of every run: its text, and all of it."""
    metrics = gather_metrics(made_up_run(tmp_path))
    metrics["systems"] = {name: metrics["systems"][name] for name in ("teacher", "student", "baseline")} | systems
    content = render_page(metrics, {}, [], ExampleRule(0, 1, 1), "")
    return Page(content).text, content


def test_open_circles_are_what_the_caption_says(tmp_path: Path) -> None:
    further = evaluation()["systems"]["teacher"] | {"name": "marian"}
    found, content = shown(tmp_path / "one", {"teacher_marian": further})
    assert "intervals; open circles are a further teacher. Up" in found
    wide, narrow = (content.count(f">{label}</text>") for label in ("Teacher marian, beam 5", "marian"))
    assert (wide, narrow) == (1, 1)
    both, _ = shown(tmp_path / "two", {"teacher_marian": further, "teacher_beam1": evaluation()["systems"]["teacher"]})
    assert "open circles are the other beam or a further teacher. Up" in both
    assert "Lines are 95% intervals. Up" in shown(tmp_path / "none", {})[0]


def test_examples_are_drawn_without_a_look_at_the_translations() -> None:
    table = translations()
    drawn = choose_rows(table, 10, seed=3)
    assert len({row["id"] for row in drawn}) == 10
    worse = table.set_column(table.schema.get_field_index("student"), "student", pa.array([""] * table.num_rows))
    shuffled = worse.take(list(reversed(range(table.num_rows))))
    assert [row["id"] for row in choose_rows(shuffled, 10, seed=3)] == [row["id"] for row in drawn]
    assert [row["id"] for row in choose_rows(table, 10, seed=4)] != [row["id"] for row in drawn]
    assert len(choose_rows(table, 1000, seed=3)) == table.num_rows


def test_examples_carry_sentence_chrf_and_differences() -> None:
    _, reference, teacher, student, baseline = TRANSLATIONS[3]
    row = {"source_language": "en", "target_language": "de", "source": "s", "reference": reference}
    row |= {"teacher": teacher, "student": student, "baseline": baseline}
    [example] = build_examples([row])
    assert [line.role for line in example.lines] == ["teacher", "student", "baseline"]
    for line, text in zip(example.lines, (teacher, student, baseline), strict=True):
        assert line.chrf == pytest.approx(sentence_chrf(text, [reference]).score)
        assert "".join(segment.text for segment in line.segments) == text
    assert [segment.text for segment in example.lines[0].segments if segment.differs] == ["und"]


def test_each_example_is_in_its_own_languages(report: tuple[dict[str, Any], str]) -> None:
    rows = translations().slice(0, 3).to_pylist()
    rows[0] |= {"source_language": "sv"}
    rows[1] |= {"target_language": "sv"}
    test = report[0]["test"] | {"source_languages": ["en", "sv"], "target_languages": ["de", "sv"]}
    rule = ExampleRule(number=3, of=3, seed=1)
    page = Page(render_page(report[0] | {"test": test}, {}, build_examples(rows), rule, ""))
    found = [attributes["lang"] for tag, attributes in page.elements if tag == "dd" and "lang" in attributes]
    assert found == ["sv", *["de"] * 4, "en", *["sv"] * 4, "en", *["de"] * 4]
    for words in ("Swedish to German", "English to Swedish", "English to German"):
        assert page.text.count(f"Direction{words}") == 1
    assert "Direction" not in Page(report[1]).text


def test_a_report_does_without_a_baseline_and_without_curves(tmp_path: Path) -> None:
    inputs = made_up_run(tmp_path, baseline=False, steps=0)
    output = new_artifact(tmp_path, "report")
    metrics = run(inputs, Config(examples=5), output, Runtime())
    page = Page((output.work_path() / "index.html").read_text(encoding="utf-8"))
    assert "baseline" not in metrics["systems"]
    assert "references alone" not in page.text
    assert not [attributes for _, attributes in page.elements if attributes.get("id") == "training"]


def test_equal_runs_give_equal_pages(report: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    output = new_artifact(tmp_path, "report")
    run(made_up_run(tmp_path), Config(), output, Runtime())
    again = (output.work_path() / "index.html").read_text(encoding="utf-8")
    dates = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
    assert dates.sub("", again) == dates.sub("", report[1])


def test_a_damaged_curve_is_named(tmp_path: Path) -> None:
    broken = new_artifact(tmp_path, "student")
    (broken.work_path() / "training.jsonl").write_text('{"step": 1}\n{"step"')
    with pytest.raises(DataError, match=r"training\.jsonl: a line is no JSON"):
        read_curves(closed(broken))


def test_what_the_filter_says_loudly_stands_below_its_rules(report: tuple[dict[str, Any], str]) -> None:
    told = ["the rule numbers_lost fails 4 of 100 rows\n  2: 'a <b> c' -> 'd'", "the rule column:qe has no value"]
    metrics = report[0] | {"filter": report[0]["filter"] | {"warnings": told}}
    content = render_page(metrics, {}, [], ExampleRule(0, 1, 1), "")
    text = " ".join(Page(content).words)
    assert "the rule numbers_lost fails 4 of 100 rows" in text
    assert "2: 'a <b> c' -> 'd'" in text
    assert "the rule column:qe has no value" in text
    assert "To be looked at" not in report[1], "where nothing is to be said"


def test_what_corpus_and_sides_say_loudly_stands_at_the_top(report: tuple[dict[str, Any], str]) -> None:
    told = {"sides": ["news: sides are shifted\n  a.en:3: 'a' -> 'b'"], "corpus": ["web: 40 of 100 rows are no text"]}
    metrics = report[0] | {node: report[0].get(node, {}) | {"warnings": texts} for node, texts in told.items()}
    content = render_page(metrics, {}, [], ExampleRule(0, 1, 1), "")
    text = " ".join(Page(content).words)
    for words in ("news: sides are shifted", "a.en:3: 'a' -> 'b'", "web: 40 of 100 rows are no text"):
        assert words in text
    assert content.index("sides are shifted") < content.index('id="systems"')


def test_a_language_whose_words_nobody_can_tell_has_no_column_of_ter(report: tuple[dict[str, Any], str]) -> None:
    metrics = json.loads(json.dumps(report[0]))
    for system in metrics["systems"].values():
        del system["ter"], system["ter_interval"], system["signatures"]["ter"]
    content = render_page(metrics, {}, [], ExampleRule(0, 1, 1), "")
    assert "TER is left out" in content
    assert ">TER<" not in content
    assert ">TER<" in report[1]
