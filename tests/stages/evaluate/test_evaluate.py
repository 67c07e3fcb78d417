"""The evaluation of tiny real models, against sacrebleu, os.stat and each model translated alone."""

import json
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from data.artifact import MANIFEST, Artifact
from data.errors import DataError
from data.language_tags import Direction
from data.model_folder import describe_model, load_teacher_info, save_teacher_info
from data.runtime import Runtime
from stages.evaluate.stage import Config, run
from stages.export.stage import Config as ExportConfig
from stages.export.stage import run as export
from stages.loaded_model.conversion import convert_checkpoint
from stages.loaded_model.translate import load_translator, translate_lines
from stages.text.tokenizer import load_tokenizer
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact
from tests.fixtures.tiny_student import (
    SENTENCES,
    TALKATIVE_SEED,
    PiecesShape,
    corpus_artifact,
    student_artifact,
    tokenizer_artifact,
    tokenizer_pieces,
    write_tiny_tokenizer,
)
from tests.fixtures.tiny_teacher import write_tiny_checkpoint

CONFIG = Config(teacher_beam=3, repeats=2, bootstrap_samples=100)


def inputs(root: Path) -> dict[str, Artifact]:
    """A teacher without tokenizer beside it, and two exported students that differ from it and from one another."""
    store, tokenizer = root / "store", write_tiny_tokenizer(root / "tokenizer")
    found = {"corpus": corpus_artifact(store), "tokenizer": tokenizer_artifact(store, tokenizer)}
    teacher = new_artifact(store, "teacher")
    shape = PiecesShape(pieces=tokenizer_pieces(tokenizer), encoder_layers=3)
    checkpoint = write_tiny_checkpoint(root / "checkpoint.pt", seed=5, shape=shape)
    convert_checkpoint(checkpoint, teacher.work_path(), quantization="float32")
    save_teacher_info(teacher.work_path(), describe_model(teacher.work_path(), "train"))
    found["teacher"] = closed(teacher)
    for node, trained, seed in (("export", "student", TALKATIVE_SEED), ("export_baseline", "baseline", 30)):
        output = new_artifact(store, node)
        parts = found | {"student": student_artifact(store, tokenizer, node=trained, seed=seed)}
        export(parts, ExportConfig(), output, Runtime())
        found[node] = closed(output)
    return found


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, Artifact], Artifact, dict[str, Any]]:
    root = tmp_path_factory.mktemp("evaluate")
    parts, output = inputs(root), new_artifact(root / "store", "evaluate")
    calls: list[tuple[int, int | None]] = []
    runtime = Runtime(threads=2, progress=lambda done, total, extras: calls.append((done, total)))
    metrics = run(parts, CONFIG, output, runtime)
    assert calls == [(number, 20) for number in range(1, 21)]  # 5 systems: all rows, warm-up, 2 repeats
    return parts, closed(output), metrics


def test_every_system_translates_with_its_beam_and_is_scored_by_sacrebleu(
    evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # sacrebleu averages numpy's floats with the 0.0 of resamples that match nothing: Python 3.11.2's `mean` refuses.
    monkeypatch.setattr("sacrebleu.metrics.base.statistics", SimpleNamespace(mean=statistics.fmean))
    parts, output, metrics = evaluated
    table = output.read_shard("translations-00000")
    assert table["source"].to_pylist() == [SENTENCES[0], SENTENCES[1], SENTENCES[4]]  # one row has no reference
    references = table["reference"].to_pylist()
    beams = {"teacher": 3, "student": 1, "baseline": 1, "teacher_beam1": 1, "student_beam3": 3}
    assert {name: system["beam"] for name, system in metrics["systems"].items()} == beams
    for name, system in metrics["systems"].items():
        lines = table[name].to_pylist()
        for key, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
            expected = metric.corpus_score(lines, [references], n_bootstrap=100)
            assert system[key] == pytest.approx(expected.score)
            assert system["signatures"][key] == str(metric.get_signature())
            low, high = system[f"{key}_interval"]
            assert low <= high
    for name, node in (("student", "export"), ("baseline", "export_baseline"), ("student_beam3", "export")):
        expected = list(translate_lines(parts[node].path(), table["source"].to_pylist(), beam_size=beams[name]))
        assert table[name].to_pylist() == expected


def test_size_and_parameters_are_those_on_disk(evaluated: Any) -> None:
    parts, _, metrics = evaluated
    for role, node, tokenizer in (("teacher", "teacher", "tokenizer"), ("student", "export", "export")):
        folder, spm = parts[node].path(), parts[tokenizer].path() / "source.spm"
        names = ("model.bin", "config.json", "shared_vocabulary.json")
        assert metrics["systems"][role]["bytes"] == spm.stat().st_size + sum(
            (folder / name).stat().st_size for name in names
        )
        assert metrics["systems"][role]["parameters"] == describe_model(folder, "student").parameters
    assert metrics["systems"]["teacher"]["quantization"] == "float32"
    assert metrics["systems"]["student"]["quantization"] == "int8"


def test_speed_is_the_median_of_the_timed_runs(evaluated: Any) -> None:
    _, output, metrics = evaluated
    table = output.read_shard("translations-00000")
    assert metrics["settings"]["threads"] == 2
    for name, system in metrics["systems"].items():
        first, second = system["seconds"]
        assert system["sentences_per_second"] == pytest.approx(3 / ((first + second) / 2))
        assert system["tokens_per_second"] == pytest.approx(system["tokens"] / ((first + second) / 2))
        assert system["tokens"] >= sum(len(text.split()) for text in table[name].to_pylist())


def test_ratios_and_comparisons_follow_from_the_systems(evaluated: Any) -> None:
    _, _, metrics = evaluated
    systems, ratios = metrics["systems"], metrics["ratios"]
    speed = {name: system["sentences_per_second"] for name, system in systems.items()}
    assert ratios == pytest.approx(
        {
            "chrf_vs_teacher": systems["student"]["chrf"] / systems["teacher"]["chrf"],
            "chrf_gain_vs_baseline": systems["student"]["chrf"] - systems["baseline"]["chrf"],
            "parameters_vs_teacher": systems["student"]["parameters"] / systems["teacher"]["parameters"],
            "bytes_vs_teacher": systems["student"]["bytes"] / systems["teacher"]["bytes"],
            "speedup_vs_teacher": speed["student"] / speed["teacher"],
            "speedup_both_beam3": speed["student_beam3"] / speed["teacher"],
            "speedup_both_beam1": speed["student"] / speed["teacher_beam1"],
        }
    )
    pairs = [(row["system"], row["against"]) for row in metrics["comparisons"]]
    assert pairs == [("student", "teacher"), ("student", "baseline"), ("baseline", "teacher")]
    for row in metrics["comparisons"]:
        apart = systems[row["system"]]["chrf"] - systems[row["against"]]["chrf"]
        assert row["chrf"]["difference"] == pytest.approx(apart)


def test_what_was_measured_says_on_what(evaluated: Any) -> None:
    _, output, metrics = evaluated
    assert metrics["test"] == {
        "sentences": 3,
        "without_reference": 1,
        "timed_sentences": 3,
        "source_languages": ["en"],
        "target_languages": ["de"],
    }
    assert metrics["machine"]["processor"]
    assert metrics["settings"]["bleu_tokenizer"] == "13a"
    assert json.loads((output.path() / "metrics.json").read_text(encoding="utf-8")) == json.loads(json.dumps(metrics))


def test_what_a_closer_look_finds_is_of_the_same_sentences(evaluated: Any) -> None:
    parts, output, metrics = evaluated
    table = output.read_shard("translations-00000")
    lines = {name: table[name].to_pylist() for name in ("teacher", "student", "reference")}
    fidelity = metrics["fidelity"]
    assert set(fidelity) == {"student", "baseline", "teacher_beam1", "student_beam3"}
    assert fidelity["student"]["chrf"] == pytest.approx(CHRF().corpus_score(lines["student"], [lines["teacher"]]).score)
    assert set(metrics["token_f1"]) == set(metrics["systems"])
    tokenizer = load_tokenizer(parts["tokenizer"].path())
    for name, texts in (("reference", lines["reference"]), ("teacher", lines["teacher"])):
        forced, positions = metrics["forced"][name], sum(len(row) + 1 for row in tokenizer.encode_target(texts))
        assert {role: found["positions"] for role, found in forced["systems"].items()} == dict.fromkeys(
            ("teacher", "student", "baseline"), positions
        )
        assert forced["against_teacher"]["student"]["kl"] > 0
    flagged = [json.loads(line) for line in (output.path() / "flagged.jsonl").read_text(encoding="utf-8").splitlines()]
    for name, counts in metrics["hallucinations"]["systems"].items():
        assert counts["any"]["count"] == len({flag["id"] for flag in flagged if flag["system"] == name})
    assert metrics["hallucinations"]["systems"]["reference"]["any"] == {"count": 0, "of": 3}
    assert "comet" not in metrics


def test_without_baseline_and_with_one_beam_two_systems_are_left(tmp_path: Path) -> None:
    parts = inputs(tmp_path)
    del parts["export_baseline"]
    left_out = {"forced": {"on": []}, "hallucinations": {"enabled": False}}
    options = {"teacher_beam": 1, "repeats": 1, "bootstrap_samples": 100, "timed_sentences": 2, "threads": 1}
    config = Config.model_validate(options | left_out)
    metrics = run(parts, config, new_artifact(tmp_path / "store", "evaluate"), Runtime(threads=2))
    assert not {"forced", "hallucinations", "comet"} & set(metrics)
    assert set(metrics["systems"]) == {"teacher", "student"}
    assert set(metrics["ratios"]) == {
        "chrf_vs_teacher",
        "speedup_vs_teacher",
        "parameters_vs_teacher",
        "bytes_vs_teacher",
    }
    assert (metrics["test"]["timed_sentences"], metrics["settings"]["threads"]) == (2, 1)
    # The rows' ids are in the order of the sentences.
    timed = load_translator(parts["export"].path(), threads=1).translate([SENTENCES[0], SENTENCES[1]], beam_size=1)
    assert metrics["systems"]["student"]["tokens"] == sum(translation.tokens for translation in timed)


def test_a_test_set_without_references_is_named(tmp_path: Path) -> None:
    corpus = corpus_artifact(tmp_path / "store", test_references=False)
    with pytest.raises(DataError, match=r"corpus-\w+: no test row has a reference"):
        run({"corpus": corpus}, CONFIG, new_artifact(tmp_path / "store", "evaluate"), Runtime())


TAGGED = {"source_prefix": ("<2{target}>",), "language_names": {"en": "en", "de": "de", "sv": "sv"}}
LESS = {"forced": {"on": []}, "hallucinations": {"enabled": False}}
QUICK = Config.model_validate({"teacher_beam": 1, "repeats": 1, "bootstrap_samples": 100} | LESS)


def of_several_pairs(root: Path, targets: list[str], infos: Mapping[str, Mapping[str, Any]]) -> dict[str, Artifact]:
    """The inputs, with test rows into these languages, and models that are tagged, each with something of its own."""
    parts, store = inputs(root), root / "several"
    for node in ("teacher", "export", "export_baseline"):
        folder = shutil.copytree(parts[node].path(), root / node, ignore=shutil.ignore_patterns(MANIFEST))
        save_teacher_info(folder, load_teacher_info(folder).model_copy(update=TAGGED | infos.get(node, {})))
        parts[node] = artifact_of_folder(store, node, folder)
    test = parts["corpus"].read_shard("test-00000").slice(0, len(targets))
    place = test.schema.get_field_index("target_language")
    test = test.set_column(place, test.schema.field(place), pa.array(targets, pa.string()))
    parts["corpus"] = artifact_of_tables(store, "corpus", {"test-00000": test})
    return parts


def evaluated_pairs(
    root: Path, targets: list[str], infos: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Artifact], Artifact, dict[str, Any]]:
    parts, output = of_several_pairs(root, targets, infos), new_artifact(root / "several", "evaluate")
    metrics = run(parts, QUICK, output, Runtime(threads=1))
    return parts, closed(output), metrics


BOTH = {"pairs": ("en-de", "en-sv")}
ONE = {"pairs": ("en-de",)}


@pytest.mark.parametrize("known", [("de", "en"), ("de", "en", "sv")])
def test_a_pair_that_the_baseline_never_learned_is_in_no_main_figure(tmp_path: Path, known: tuple[str, ...]) -> None:
    baseline = ONE | {"language_names": {name: name for name in known}}
    parts, output, metrics = evaluated_pairs(
        tmp_path, ["de", "sv", "de"], {"export": BOTH, "export_baseline": baseline}
    )
    table = output.read_shard("translations-00000")
    assert table["source"].to_pylist() == [SENTENCES[0], SENTENCES[4]]
    languages = ["source_language", "target_language"]
    assert table.select(languages).to_pylist() == [dict(zip(languages, ("en", "de"), strict=True))] * 2
    references = [SENTENCES[2], SENTENCES[5]]
    for name in ("teacher", "student", "baseline"):
        expected = CHRF().corpus_score(table[name].to_pylist(), [references]).score
        assert metrics["systems"][name]["chrf"] == pytest.approx(expected)
    german, swedish = metrics["pairs"]
    assert (german["pair"], swedish["pair"], swedish["zero_shot"]) == ("en-de", "en-sv", False)
    assert german["systems"]["baseline"]["chrf"] == metrics["systems"]["baseline"]["chrf"]
    # Where it has no name for the language it cannot be asked; else it stands there as what it is.
    assert {name: one["zero_shot"] for name, one in swedish["systems"].items()} == {
        "teacher": False,
        "student": False,
        **({"baseline": True} if "sv" in known else {}),
    }
    [other] = output.read_shard("other-pairs-00000").to_pylist()
    alone = load_translator(parts["export"].path(), threads=1)
    [line] = alone.translate([SENTENCES[1]], beam_size=1, directions=[Direction("en", "sv")])
    assert other["student"] == line.text
    assert [other[name] for name in languages] == ["en", "sv"]
    assert (other["baseline"] is None) == ("sv" not in known)


def test_a_baseline_that_learned_none_of_the_pairs_stands_in_their_tables_alone(tmp_path: Path) -> None:
    parts, output, metrics = evaluated_pairs(tmp_path, ["sv", "sv"], {"export": BOTH, "export_baseline": ONE})
    assert set(metrics["systems"]) == {"teacher", "student"}
    assert [(row["system"], row["against"]) for row in metrics["comparisons"]] == [("student", "teacher")]
    assert "baseline" not in output.read_shard("translations-00000").column_names
    [pair] = metrics["pairs"]
    alone = load_translator(parts["export_baseline"].path(), threads=1)
    found = alone.translate(SENTENCES[:2], beam_size=1, directions=[Direction("en", "sv")] * 2)
    expected = CHRF().corpus_score([line.text for line in found], [list(SENTENCES[2:4])]).score
    assert pair["systems"]["baseline"]["chrf"] == pytest.approx(expected)
    assert pair["systems"]["baseline"]["zero_shot"]
