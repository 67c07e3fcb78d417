"""Rows that a teacher has too few positions for, stage by stage: they fail alone, are counted, and teach nobody."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.join import join
from data.language_tags import Direction
from data.model_folder import load_teacher_info, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import unpack
from stages.beam_search.config import Config as Decoding
from stages.decode import stage as decode
from stages.evaluate.forced import Config as Forcing
from stages.evaluate.forced import ForcedModel, measure_forcing
from stages.evaluate.quality import Scoring
from stages.filter import stage as filtering
from stages.loaded_model.model import Positions, TargetVocabulary, load_teacher
from stages.loaded_model.translate import load_translator
from stages.measure import stage as measure
from stages.score import stage as score
from stages.select import stage as select
from stages.text.tokenizer import load_tokenizer
from stages.training.reference_cross_entropy import cross_entropy
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, new_artifact, words_tokenizer
from tests.fixtures.oracle import forced_log_probs
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint, write_tiny_teacher

POSITIONS = 16
# Two positions are kept for marks around a sentence.
LONGEST = POSITIONS - 2
VOCABULARY = TinyShape().vocabulary()
K = 5
# Tokens of sources and of references.
LENGTHS = [(3, 4), (LONGEST, 2), (LONGEST + 1, 2), (4, LONGEST), (4, LONGEST + 1), (40, 40), (2, 3)]
FITS = [True, True, False, True, False, False, True]


def texts(lengths: Sequence[int], seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"a{number}" for number in random.integers(0, 36, length)) for length in lengths]


SOURCES, REFERENCES = texts([source for source, _ in LENGTHS], 1), texts([target for _, target in LENGTHS], 2)


def corpus() -> pa.Table:
    rows = len(LENGTHS)
    return pa.table(
        {
            "id": [f"{number:032x}" for number in range(rows)],
            "source": SOURCES,
            "reference": REFERENCES,
            "source_language": ["en"] * rows,
            "target_language": ["de"] * rows,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of few positions; OpenNMT-py's checkpoint has its 5,000 of the same weights, as it must."""
    folder = write_tiny_teacher(tmp_path_factory.mktemp("short") / "teacher", shape=TinyShape(positions=POSITIONS))
    write_tiny_checkpoint(folder / "checkpoint.pt")
    return folder


@pytest.fixture(scope="module")
def artifacts(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    return {"teacher": artifact_of_folder(store, "teacher", folder), "tokenizer": words_tokenizer(store)}


def selected() -> pa.Table:
    """As select leaves it with metric = reference."""
    columns = {"target": REFERENCES, "target_tokens": [text.split() for text in REFERENCES]}
    return pa.table({"id": corpus()["id"], **columns, "metric": ["reference"] * len(LENGTHS)})


def scored(artifacts: dict[str, Artifact], **options: object) -> pa.Table:
    config = score.Config.model_validate({"precision": "float32", **options})
    return score.run(join([corpus(), selected()]), config, score.load(config, artifacts, Runtime(threads=2)))


@pytest.mark.parametrize("backend", ["ctranslate2", "torch"])
def test_they_are_marked_and_all_others_are_scored(artifacts: dict[str, Artifact], backend: str) -> None:
    result = scored(artifacts, backend=backend, k=K)
    assert result["conditioning"].to_pylist() == ["reference" if fits else "none" for fits in FITS]
    checkpoint, own = artifacts["teacher"].path() / "checkpoint.pt", []
    for source, target, fits, row in zip(SOURCES, REFERENCES, FITS, unpack(result), strict=True):
        if fits:
            expected = forced_log_probs(checkpoint, source.split(), target.split())
            forced = [VOCABULARY.index(token) for token in (*target.split(), "</s>")]
            own.append(expected[range(len(forced)), forced])
            np.testing.assert_allclose(row.token_log_probs, own[-1], rtol=1e-3, atol=2e-3)
        else:
            np.testing.assert_allclose(np.exp(row.token_log_probs.astype(np.float64)), 1 / len(VOCABULARY), rtol=2e-3)
    counted = score.count(result)
    assert (counted["too_long"], counted["references"]) == (3, 4)
    assert counted["tokens"] == sum(len(values) for values in own), "nothing was said of the others"
    assert counted["kept_mass"] < counted["tokens"]


def test_drawn_targets_are_marked_alike(artifacts: dict[str, Artifact]) -> None:
    result = scored(artifacts, mode="sampled", draws=10)
    assert result["conditioning"].to_pylist() == ["reference" if fits else "none" for fits in FITS]
    assert score.count(result)["too_long"] == 3


def test_tokens_that_every_target_begins_with_need_positions_too(folder: Path, tmp_path: Path) -> None:
    tagged = write_tiny_teacher(tmp_path / "tagged", shape=TinyShape(positions=POSITIONS))
    save_teacher_info(tagged, load_teacher_info(folder).model_copy(update={"target_prefix": ("a32", "a33")}))
    inputs = {"teacher": artifact_of_folder(tmp_path, "teacher", tagged), "tokenizer": words_tokenizer(tmp_path)}
    result = scored(inputs, backend="ctranslate2", k=K)
    # The fourth row's reference took all that there are.
    assert result["conditioning"].to_pylist() == [
        "reference" if fits and row != 3 else "none" for row, fits in enumerate(FITS)
    ]


@pytest.mark.parametrize(
    ("positions", "source", "target", "held"),
    [
        (Positions(), 10**6, 10**6, True),
        (Positions(source=5), 5, 10**6, True),
        (Positions(source=5), 6, 1, False),
        (Positions(target=5, prefix=2), 9, 3, True),
        (Positions(target=5, prefix=2), 9, 4, False),
        (Positions(source=10, together=True), 7, 3, True),
        (Positions(source=10, together=True), 7, 4, False),
    ],
)
def test_positions_are_of_each_side_or_of_both_together(
    positions: Positions, source: int, target: int, held: bool
) -> None:
    assert positions.hold(source, target) == held


def test_the_filter_turns_them_down_with_a_reason_of_their_own(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    decoding = Decoding(max_source_tokens=100, max_decoding_length=10, max_batch_tokens=64)
    searched = decode.Resources(
        "teacher",
        load_teacher(artifacts["teacher"].path(), Runtime()),
        load_tokenizer(artifacts["tokenizer"].path()),
        64,
        frozenset(VOCABULARY),
    )
    nbest = decode.run(corpus(), decoding, searched)
    assert decode.count(nbest)["untranslated"] == 2, "sources beyond the positions"
    choosing = select.Config(metric="reference")
    chosen = select.run(join([corpus(), nbest]), choosing, select.load(choosing, artifacts, Runtime()))
    scoring = score.Config(k=K, precision="float32")
    soft = score.run(
        join([corpus(), chosen.select(["id", "target_tokens", "metric"])]),
        scoring,
        score.load(scoring, artifacts, Runtime()),
    )
    read = soft.select(["id", *measure.READS["score"]])
    table = join([corpus(), chosen.select(["id", *measure.READS["select"]]), read])
    measured = measure.run(table, measure.Config(), measure.load(measure.Config(), {}, Runtime()))
    assert [value is None for value in measured["log_prob_per_token"].to_pylist()] == [not fits for fits in FITS]
    assert measured["mean_entropy"].is_null().to_pylist() == [not fits for fits in FITS]
    assert measured["too_long_to_score"].to_pylist() == [not fits for fits in FITS]
    assert measure.count(measured)["too_long_to_score"] == 3
    # Texts of words that are none: nothing but what the policy never lets pass is asked.
    rules: dict[str, dict[str, float]] = {name: {} for name in filtering.Rules.model_fields}
    verdicts = new_artifact(tmp_path, "filter")
    metrics = filtering.run(
        {"measure": artifact_of_tables(tmp_path, "measure", {"train-00000": measured})},
        filtering.Config.model_validate({"rules": rules}),
        verdicts,
        Runtime(),
    )
    verdicts.complete(stage="filter", version="1", config={}, inputs={}, libraries={}, metrics=metrics)
    found = verdicts.read_shard("train-00000")
    assert found["reasons"].to_pylist() == [[] if fits else ["too_long_to_score"] for fits in FITS]
    assert found["accepted"].to_pylist() == FITS
    steps = {step["rule"]: (step["failed"], step["left"]) for step in metrics["waterfall"]}
    assert steps == {"empty_target": (0, 7), "too_long_to_score": (3, 4)}
    assert (metrics["rows"], metrics["accepted"]) == (7, 4)


def test_the_cross_entropy_of_references_leaves_them_out(artifacts: dict[str, Artifact]) -> None:
    folder, tokenizer = artifacts["teacher"].path(), load_tokenizer(artifacts["tokenizer"].path())
    found = cross_entropy(folder, {Direction("en", "de"): corpus()}, tokenizer, 200, Runtime())
    nats = _nats(folder)
    assert found == {Direction("en", "de"): pytest.approx(sum(nats) / len(nats), abs=2e-3)}


def test_the_evaluation_leaves_them_out_of_what_it_forces(artifacts: dict[str, Artifact]) -> None:
    folder, tokenizer = artifacts["teacher"].path(), load_tokenizer(artifacts["tokenizer"].path())
    model = ForcedModel(load_translator(folder, tokenizer=tokenizer, threads=1), TargetVocabulary.read(folder))
    found = measure_forcing({"teacher": model}, SOURCES, REFERENCES, Forcing(), Scoring("13a", 20, 3), threads=1)
    assert (found["sentences"], found["left_out"]) == (4, 3)
    nats = _nats(folder)
    assert found["systems"]["teacher"]["cross_entropy"] == pytest.approx(sum(nats) / len(nats), abs=1e-4)


def _nats(folder: Path) -> list[float]:
    """Of all positions of the references that fit."""
    nats: list[float] = []
    for source, target, fits in zip(SOURCES, REFERENCES, FITS, strict=True):
        if fits:
            log_probs = forced_log_probs(folder / "checkpoint.pt", source.split(), target.split())
            forced = [VOCABULARY.index(token) for token in (*target.split(), "</s>")]
            nats += (-log_probs[range(len(forced)), forced]).tolist()
    return nats
