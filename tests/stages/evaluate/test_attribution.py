"""Where quality goes, against each model translated alone through CTranslate2 and each choice made with sacrebleu."""

import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
from sacrebleu import sentence_bleu, sentence_chrf
from sacrebleu.metrics import BLEU, CHRF

from data.artifact import Artifact
from data.model_folder import describe_model
from data.runtime import Runtime
from stages.beam_search.config import Config as Decoding
from stages.evaluate import stage as evaluate
from stages.evaluate.attribution import float32_folder, selected_hypotheses
from stages.evaluate.stage import Config
from stages.loaded_model.conversion import convert_checkpoint
from stages.loaded_model.translate import load_translator
from stages.text.tokenizer import load_tokenizer
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.tiny_student import SENTENCES, student_artifact
from tests.stages.evaluate.test_evaluate import inputs as evaluated_inputs

BEAM = 4
SOURCES, REFERENCES = [SENTENCES[0], SENTENCES[1], SENTENCES[4]], [SENTENCES[2], SENTENCES[3], SENTENCES[5]]


def note(store: Path, node: str, config: dict[str, Any]) -> Artifact:
    """An artefact of which only its config is read."""
    artifact = new_artifact(store, node)
    artifact.complete(stage=node, version="1", config=config, inputs={}, libraries={})
    return artifact


def choice(store: Path, metric: str) -> Artifact:
    return note(store / metric, "select", {"metric": metric, "bleu_tokenizer": "13a"})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    root = tmp_path_factory.mktemp("attribution")
    store, found = root / "store", evaluated_inputs(root)
    found["student"] = student_artifact(store, root / "tokenizer")
    found["decode"] = note(store, "decode", Decoding(beam_size=BEAM, num_hypotheses=BEAM).model_dump())
    found["select"] = choice(store, "chrf")
    return found


def nbest(parts: Mapping[str, Artifact], source: str) -> list[str]:
    """Of one source, through CTranslate2 alone."""
    tokenizer = load_tokenizer(parts["tokenizer"].path())
    model = ctranslate2.Translator(str(parts["teacher"].path()), compute_type="float32")
    [result] = model.translate_batch(tokenizer.encode_source([source]), beam_size=BEAM, num_hypotheses=BEAM)
    return tokenizer.decode_target(result.hypotheses)


def select(
    parts: Mapping[str, Artifact], metric: str, store: Path, references: Sequence[str] = REFERENCES
) -> list[str] | None:
    given = {**parts, "select": choice(store, metric)}
    return selected_hypotheses(given, SOURCES, references, 256, Runtime())


@pytest.mark.parametrize(("metric", "score"), [("chrf", sentence_chrf), ("bleu", sentence_bleu)])
def test_the_hypothesis_nearest_to_the_reference_is_selected(
    parts: dict[str, Artifact], tmp_path: Path, metric: str, score: Any
) -> None:
    lists = [nbest(parts, source) for source in SOURCES]
    # Near to what the teacher likes least.
    references = [f"{texts[-1]} n" for texts in lists]
    pairs = zip(lists, references, strict=True)
    best = [max(texts, key=lambda text: score(text, [reference]).score) for texts, reference in pairs]
    assert select(parts, metric, tmp_path, references) == best
    assert best != [texts[0] for texts in lists]


def test_other_metrics_look_at_no_reference(parts: dict[str, Artifact], tmp_path: Path) -> None:
    lists = [nbest(parts, source) for source in SOURCES]
    assert select(parts, "score", tmp_path) == [texts[0] for texts in lists]

    def likeness(texts: list[str], place: int) -> float:
        return float(sum(sentence_chrf(texts[place], [text]).score for at, text in enumerate(texts) if at != place))

    best = [texts[max(range(BEAM), key=lambda place: likeness(texts, place))] for texts in lists]
    assert select(parts, "mbr-chrf", tmp_path) == best


def test_where_references_are_the_targets_nothing_is_selected(parts: dict[str, Artifact], tmp_path: Path) -> None:
    assert select(parts, "reference", tmp_path) is None


def test_the_student_is_had_again_as_it_was_before_rounding(
    parts: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_checkpoint(parts["student"].path() / "checkpoint.pt", tmp_path / "exact", quantization="float32")
    exact = ctranslate2.Translator(str(tmp_path / "exact"), compute_type="float32")
    export, tokenizer = parts["export"].path(), load_tokenizer(parts["tokenizer"].path())
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    before = {path.name: path.stat().st_mtime_ns for path in export.iterdir()}
    with float32_folder(parts["student"], export) as folder:
        found = load_translator(folder, tokenizer=load_tokenizer(export), threads=1).translate(SOURCES, beam_size=1)
        assert str(folder).startswith(str(tmp_path / "scratch"))
        assert describe_model(folder, "student").quantization == "float32"
    results = exact.translate_batch(tokenizer.encode_source(SOURCES), beam_size=1)
    assert [one.text for one in found] == tokenizer.decode_target([result.hypotheses[0] for result in results])
    assert list((tmp_path / "scratch").iterdir()) == []
    assert {path.name: path.stat().st_mtime_ns for path in export.iterdir()} == before


@pytest.fixture(scope="module")
def evaluated(parts: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, dict[str, Any]]:
    output = new_artifact(tmp_path_factory.mktemp("evaluate"), "evaluate")
    config = Config(teacher_beam=2, repeats=1, bootstrap_samples=100, attribution=True)
    given = {name: parts[name] for name in evaluate.inputs(config) if name in parts}
    metrics = evaluate.run(given, config, output, Runtime())
    return closed(output), metrics


def test_every_step_is_scored_on_the_same_set(evaluated: tuple[Artifact, dict[str, Any]]) -> None:
    output, metrics = evaluated
    table, steps = output.read_shard("translations-00000"), metrics["attribution"]["steps"]
    assert [step["name"] for step in steps] == ["teacher", "selected", "student_float32", "student"]
    for step in steps:
        lines = table[step["name"]].to_pylist()
        assert step["chrf"] == pytest.approx(CHRF().corpus_score(lines, [REFERENCES]).score)
        assert step["bleu"] == pytest.approx(BLEU().corpus_score(lines, [REFERENCES]).score)
        assert step["chrf_interval"][0] <= step["chrf_interval"][1]
    assert {key: metrics["attribution"][key] for key in ("metric", "hypotheses", "beam")} == {
        "metric": "chrf",
        "hypotheses": BEAM,
        "beam": BEAM,
    }


def test_changes_add_up_to_the_whole_gap(evaluated: tuple[Artifact, dict[str, Any]]) -> None:
    _, metrics = evaluated
    steps, systems = metrics["attribution"]["steps"], metrics["systems"]
    assert steps[0]["change"] is None
    for before, after in pairwise(steps):
        assert after["change"]["against"] == before["name"]
        assert after["change"]["chrf"]["difference"] == pytest.approx(after["chrf"] - before["chrf"])
    for key in ("chrf", "bleu"):
        whole = sum(step["change"][key]["difference"] for step in steps[1:])
        assert whole == pytest.approx(systems["student"][key] - systems["teacher"][key])


def test_it_is_done_only_when_asked_for() -> None:
    assert not Config().attribution
    more = set(evaluate.inputs(Config(attribution=True))) - set(evaluate.inputs(Config()))
    assert more == {"decode", "select", "student"}
