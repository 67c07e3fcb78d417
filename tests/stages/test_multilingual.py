"""A model of several directions, stage by stage: its tags come from the language columns, and stand in no text."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pyarrow as pa
import pytest

from data import schema
from data.artifact import Artifact
from data.errors import ModelError
from data.language_tags import Direction
from data.model_folder import load_teacher_info, read_vocabulary, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import unpack
from stages.dataset import stage as dataset
from stages.dataset.text_export import TEXTS
from stages.decode import stage as decode
from stages.export import stage as export
from stages.loaded_model.engine import TranslatorEngine
from stages.loaded_model.translate import direction_of, load_translator, translate_lines
from stages.score import stage as score
from stages.select import stage as select
from stages.student import stage as student
from stages.student.stage import Config
from stages.text.tokenizer import load_tokenizer
from stages.training.reference_cross_entropy import cross_entropy
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.fixtures.distilled import artifact, corpus_metrics, made_up_inputs
from tests.fixtures.oracle import forced_log_probs
from tests.fixtures.tiny_student import PiecesShape
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_teacher

VOCABULARY = TinyShape().vocabulary()
# Words of the tiny teacher that stand for its language tags.
TAGS = {"source_prefix": ("a3{target}",), "target_prefix": ("a2{source}",)}
NAMES = {"en": "0", "de": "1", "sv": "2"}
PAIRS = ("en-de", "en-sv", "de-en")
ORDER = [("en", "de"), ("en", "sv"), ("de", "en"), ("en", "de"), ("sv", "de"), ("en", "sv"), ("de", "en")]


def sentences(rows: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [[f"a{number}" for number in random.integers(0, 20, random.integers(1, 7))] for _ in range(rows)]


def with_languages(columns: Mapping[str, Any], order: Sequence[tuple[str, str]] = ORDER) -> pa.Table:
    rows = len(next(iter(columns.values())))
    found = [order[number % len(order)] for number in range(rows)]
    table = pa.table({"id": [f"{number:032x}" for number in range(rows)], **columns})
    table = table.append_column("source_language", pa.array([source for source, _ in found]))
    return table.append_column("target_language", pa.array([target for _, target in found]))


@pytest.fixture(scope="module")
def tagged(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(tiny_teacher, tmp_path_factory.mktemp("tagged") / "model")
    info = load_teacher_info(folder)
    save_teacher_info(folder, info.model_copy(update={**TAGS, "language_names": NAMES, "pairs": PAIRS}))
    return folder


@pytest.fixture(scope="module")
def artifacts(tagged: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    return {"teacher": artifact_of_folder(store, "teacher", tagged), "tokenizer": words_tokenizer(store)}


def test_each_source_is_translated_in_its_direction(artifacts: dict[str, Artifact]) -> None:
    # The same source in every direction: were it translated once, all would be alike.
    table = with_languages({"source": ["a1 a2 a3 a4"] * len(ORDER)})
    config = decode.Config(beam_size=2, num_hypotheses=2, max_decoding_length=12, max_batch_tokens=64)
    result = decode.run(table, config, decode.load(config, artifacts, Runtime()))
    checkpoint = artifacts["teacher"].path() / "checkpoint.pt"
    for (source, target), hypotheses in zip(ORDER, result["hypotheses"].to_pylist(), strict=True):
        if (source, target) == ("sv", "de"):
            assert hypotheses[0]["tokens"] == []  # no pair of this teacher
            continue
        best = hypotheses[0]
        asked = [f"a3{NAMES[target]}", "a1", "a2", "a3", "a4"]
        log_probs = forced_log_probs(checkpoint, asked, best["tokens"], prefix=[f"a2{NAMES[source]}"])
        ids = [VOCABULARY.index(token) for token in [*best["tokens"], "</s>"]]
        if len(best["tokens"]) < 11:
            assert best["score"] == pytest.approx(log_probs[range(len(ids)), ids].mean(), abs=1e-3)
    assert json.loads(result.schema.metadata[b"potstill.notes"])["repeated"] == 3
    texts = {tuple(row[0]["tokens"]) for row in result["hypotheses"].to_pylist()}
    assert len(texts) > 2


@pytest.mark.parametrize("backend", ["ctranslate2", "torch"])
def test_each_target_is_forced_in_its_direction(artifacts: dict[str, Artifact], backend: str) -> None:
    sources, targets = sentences(7, 1), sentences(7, 2)
    table = with_languages(
        {"source": [" ".join(row) for row in sources], "target_tokens": targets, "metric": ["chrf"] * 7}
    )
    config = score.Config(k=5, backend=backend, precision="float32")
    result = score.run(table, config, score.load(config, artifacts, Runtime()))
    checkpoint = artifacts["teacher"].path() / "checkpoint.pt"
    for (source, target), tokens, forced, row in zip(ORDER, sources, targets, unpack(result), strict=True):
        if (source, target) == ("sv", "de"):
            continue
        asked = [f"a3{NAMES[target]}", *tokens]
        expected = forced_log_probs(checkpoint, asked, forced, prefix=[f"a2{NAMES[source]}"])
        ids = [VOCABULARY.index(token) for token in [*forced, "</s>"]]
        np.testing.assert_allclose(row.token_log_probs, expected[range(len(ids)), ids], rtol=1e-3, atol=2e-3)


def test_the_teachers_cross_entropy_is_that_of_the_checkpoint(artifacts: dict[str, Artifact]) -> None:
    sources, targets = sentences(12, 3), sentences(12, 4)
    sources[5] = []  # scores 0 in CTranslate2, which is perfect
    targets[6] = ["a1"] * 30  # longer than the student is validated on
    rows = pa.table({"source": [" ".join(row) for row in sources], "reference": [" ".join(row) for row in targets]})
    folder, tokenizer = artifacts["teacher"].path(), load_tokenizer(artifacts["tokenizer"].path())
    found = cross_entropy(folder, {Direction("en", "sv"): rows}, tokenizer, 20, Runtime())
    total, positions = 0.0, 0
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        if number in (5, 6):
            continue
        log_probs = forced_log_probs(folder / "checkpoint.pt", ["a32", *source], target, prefix=["a20"])
        ids = [VOCABULARY.index(token) for token in [*target, "</s>"]]
        total, positions = total - log_probs[range(len(ids)), ids].sum(), positions + len(ids)
    assert found == {Direction("en", "sv"): pytest.approx(total / positions, abs=2e-3)}


def test_lines_are_translated_in_their_directions_even_in_those_never_learned(artifacts: dict[str, Artifact]) -> None:
    folder = artifacts["teacher"].path()
    translator = load_translator(folder, tokenizer=load_tokenizer(artifacts["tokenizer"].path()), threads=1)
    directions = [Direction(*pair) for pair in ORDER]
    lines = [" ".join(row) for row in sentences(len(ORDER), 5)]
    found = translator.translate(lines, beam_size=1, directions=directions)
    plain = ctranslate2.Translator(str(folder))
    for line, direction, translation in zip(lines, directions, found, strict=True):
        prefix = f"a2{NAMES[direction.source]}"
        asked = [f"a3{NAMES[direction.target]}", *line.split()]
        [result] = plain.translate_batch([asked], target_prefix=[[prefix]], beam_size=1)
        assert translation.text == " ".join(result.hypotheses[0][1:])
    with pytest.raises(ModelError, match="no language fr"):
        translator.translate(["a1"], beam_size=1, directions=[Direction("en", "fr")])
    with pytest.raises(ModelError, match=r"in several directions: it learned en-de, en-sv, de-en; .*--from and --to"):
        translator.translate(["a1"], beam_size=1)


def test_what_is_said_of_the_languages_must_leave_one_direction(tagged: Path) -> None:
    info = load_teacher_info(tagged)
    assert direction_of(info, target="sv") == Direction("en", "sv")
    assert direction_of(info, "sv", "de") == Direction("sv", "de")
    for source, target in (("en", None), ("fr", None), (None, None), ("sv", None)):
        with pytest.raises(ModelError, match="say which with --from and --to"):
            direction_of(info, source, target)
    one = info.model_copy(update={"source_prefix": (), "target_prefix": ()})
    with pytest.raises(ModelError, match="one direction alone"):
        direction_of(one, "en", "de")


SMALL = {
    "data": "reference",
    "model": {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 16},
    "optimiser": {"steps": 6, "batch_tokens": 60, "report_every": 3, "precision": "float32", "validate_every": 3},
    "objective": {"cross_entropy": 1.0, "soft_targets": {"weight": 0.0}},
}
LEARNED = [("en", "de"), ("en", "sv"), ("en", "de"), ("de", "en")]


@pytest.fixture(scope="module")
def trained(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A student of three pairs of 30 rows in shares 2 : 1 : 1, and its export."""
    store = tmp_path_factory.mktemp("student")
    texts = {
        "source": [" ".join(row) for row in sentences(40, 6)],
        "reference": [" ".join(row) for row in sentences(40, 7)],
    }
    table = with_languages(texts, LEARNED)
    inputs = {
        "corpus": artifact_of_tables(store, "corpus", {"train-00000": table, "valid-00000": table.slice(0, 12)}),
        "tokenizer": words_tokenizer(store),
        "teacher": artifact_of_folder(store, "teacher", tiny_teacher),
    }
    output = new_artifact(store, "student")
    config = Config.model_validate(SMALL | {"languages": {"tags": "both", "sampling_temperature": 2.0}})
    metrics = student.run(inputs, config, output, Runtime())
    output.complete(stage="student", version="1", config={}, inputs={}, libraries={}, metrics=metrics)
    exported = new_artifact(store, "export")
    export.run({"student": output, **inputs}, export.Config(), exported, Runtime())
    return {"metrics": metrics, "folder": output.path(), "export": exported.work_path(), "table": table}


def test_a_student_learns_every_pair_under_its_tags(trained: dict[str, Any]) -> None:
    metrics = trained["metrics"]
    assert metrics["languages"]["pairs"] == {"de-en": 10, "en-de": 20, "en-sv": 10}
    assert set(metrics["streams"]) == {"reference"}
    assert {f"valid_cross_entropy_{pair}" for pair in ("de-en", "en-de", "en-sv")} <= set(metrics)
    tags = {f"<from:{name}>" for name in ("de", "en", "sv")} | {f"<2{name}>" for name in ("de", "en", "sv")}
    assert set(read_vocabulary(trained["export"], "source")) - set(VOCABULARY) == tags
    # One vocabulary for both sides as before, so that embeddings are still shared.
    assert read_vocabulary(trained["export"], "target") == read_vocabulary(trained["export"], "source")


def test_its_folder_says_which_tag_a_direction_needs(trained: dict[str, Any]) -> None:
    info = load_teacher_info(trained["export"])
    assert info.pairs == ("de-en", "en-de", "en-sv")
    assert info.toward(Direction("sv", "de")).source_prefix == ("<from:sv>", "<2de>")
    card = (trained["export"] / "README.md").read_text()
    assert "de-en, en-de, en-sv" in card and "['<from:en>', '<2de>'] + line.split()" in card
    found = list(translate_lines(trained["export"], ["a1 a2"], source_language="en", target_language="sv"))
    plain = ctranslate2.Translator(str(trained["export"]))
    [result] = plain.translate_batch([["<from:en>", "<2sv>", "a1", "a2"]], beam_size=1)
    assert found == [" ".join(result.hypotheses[0])]


def made_by(teacher: Artifact, table: pa.Table, store: Path) -> dict[str, Artifact]:
    """What the stages from decode to dataset make of a corpus; of no row a measure or a verdict is missing."""
    rows = [row | {"origin": "site", "location": "", "split": "train"} for row in table.to_pylist()]
    measures = {field.name: False if pa.types.is_boolean(field.type) else 1 for field in schema.MEASURES}
    measures["columns"] = []
    tables = {
        "corpus": pa.Table.from_pylist(rows, schema.PAIRS),
        "measure": pa.Table.from_pylist([measures | {"id": row["id"]} for row in rows], schema.MEASURES),
        "filter": pa.Table.from_pylist(
            [{"id": row["id"], "accepted": True, "reasons": []} for row in rows], schema.VERDICTS
        ),
    }
    made = {"teacher": teacher, "tokenizer": made_up_inputs(store / "others")["tokenizer"]}
    searched = decode.Config(beam_size=2, num_hypotheses=2, max_decoding_length=12, max_batch_tokens=64)
    tables["decode"] = decode.run(tables["corpus"], searched, decode.load(searched, made, Runtime()))
    nbest = tables["corpus"].append_column("hypotheses", tables["decode"]["hypotheses"])
    tables["select"] = select.run(nbest, select.Config(), select.load(select.Config(), made, Runtime()))
    selected = tables["corpus"]
    for name in score.READS["select"]:
        selected = selected.append_column(name, tables["select"][name])
    kept = score.Config(k=4, backend="ctranslate2")
    tables["score"] = score.run(selected, kept, score.load(kept, made, Runtime()))
    metrics = {
        "corpus": corpus_metrics({"train-00000": rows}),
        "filter": {"rows": len(rows), "accepted": len(rows), "waterfall": []},
    }
    folder = store / "run"
    for name, each in tables.items():
        told = {key: value for key, value in (each.schema.metadata or {}).items() if key != schema.NOTES_KEY}
        shard = each.replace_schema_metadata(told)
        made[name] = artifact(folder, name, {"train-00000": shard}, metrics.get(name))
    output = new_artifact(folder, "dataset")
    dataset.run(made, dataset.Config(), output, Runtime())
    return made | {"dataset": closed(output)}


def test_no_stored_text_has_a_tag(trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a teacher that wants one before the source and one before the target, and says none itself."""
    tags = tuple(f"<{kind}{language}>" for kind in ("2", "from:") for language in NAMES)
    shape = PiecesShape(pieces=(*VOCABULARY[4:], *tags), unsaid=len(tags))
    folder = write_tiny_teacher(tmp_path / "model", shape=shape)
    wanted = {
        "source_prefix": ("<2{target}>",),
        "target_prefix": ("<from:{source}>",),
        "language_names": {name: name for name in NAMES},
    }
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update=wanted))
    asked: set[tuple[str, ...]] = set()
    start = TranslatorEngine.start

    def noted(engine: TranslatorEngine, sources: Sequence[Sequence[str]], options: Any) -> Any:
        asked.update((source[0], *engine.target_prefix) for source in sources)
        return start(engine, sources, options)

    monkeypatch.setattr(TranslatorEngine, "start", noted)
    made = made_by(artifact_of_folder(tmp_path, "teacher", folder), trained["table"], tmp_path)
    assert asked == {("<2de>", "<from:en>"), ("<2sv>", "<from:en>"), ("<2en>", "<from:de>")}

    dataset.export_text(made["dataset"], tmp_path / "text")
    texts = [line for name in TEXTS for line in (tmp_path / "text" / name).read_text().splitlines()]
    for node in ("decode", "select", "score", "dataset"):
        rows = made[node].read_shard("train-00000").to_pylist()
        assert len(rows) == trained["table"].num_rows
        texts += [str(row) for row in rows]
    assert [text for text in texts if any(tag in text for tag in tags)] == []


def test_the_valid_loss_of_a_pair_is_that_of_its_rows_under_its_tags(trained: dict[str, Any]) -> None:
    table = trained["table"].slice(0, 12).to_pylist()
    checkpoint = trained["folder"] / "checkpoint.pt"
    tokens = read_vocabulary(trained["export"], "target")
    total, positions = 0.0, 0
    for row in table:
        if (row["source_language"], row["target_language"]) != ("en", "sv"):
            continue
        target = row["reference"].split()
        log_probs = forced_log_probs(checkpoint, ["<from:en>", "<2sv>", *row["source"].split()], target)
        ids = [tokens.index(token) for token in [*target, "</s>"]]
        total, positions = total - log_probs[range(len(ids)), ids].sum(), positions + len(ids)
    assert trained["metrics"]["valid_cross_entropy_en-sv"] == pytest.approx(total / positions, rel=1e-3)
