"""Measures against hand-counted values, sacrebleu, and float64."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from sacrebleu import CHRF

from data import schema
from data.model_folder import load_teacher_info, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, pack
from stages.measure import stage as measure
from stages.text import measures as text_measures
from tests.fixtures.artifacts import artifact_of_folder, new_artifact

ROWS = [
    ("Turn on {name} now please", "Schalten Sie {name} jetzt bitte ein", "{name} jetzt bitte einschalten"),
    ("The quick brown fox jumps", "The quick brown fox jumps", None),
    ("{x}", "{x}", None),
]


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("Turn on {name}", "{name} einschalten", 0),
        ("{a} and {a}", "{a}", 1),
        ("%s of %(count)d", "%(count)d von", 1),
        ("100 % done", "100 % fertig", 0),
        ("5% safe", "zu 5 % sicher", 0),
        ("<b>Bold</b>", "<b>Fett", 1),
        ("See https://example.org/a, please", "Siehe https://example.org/a.", 0),
        ("Fish &amp; chips", "Fisch und Pommes", 1),
        ("${user} left", "user ging", 1),
        ("{count, plural, one {# item} other {# items}}", "{count, plural, one {# Ding} other {# Dinge}}", 0),
        ("{count, plural, one {# item} other {# items}}", "{n, plural, one {# Ding} other {# Dinge}}", 1),
        ("{{ value }} at {:.2f}", "{{ value }} bei {:.1f}", 1),
        ("%1$@ has %ld", "%ld hat %1$@", 0),
        ("%ld files", "Dateien", 1),
        ("See [the docs](/help)", "Siehe [die Hilfe](/help)", 0),
        ("See [the docs](/help)", "Siehe die Hilfe", 1),
    ],
)
def test_placeholders_are_counted_each(source: str, target: str, lost: int) -> None:
    assert text_measures.placeholders_lost(source, target) == lost


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("1,000 files", "1.000 Dateien", 0),
        ("3 of 3", "drei von 3", 1),
        ("port 8123", "Port 8132", 1),
        ("room {room2}", "Raum", 0),
        ("٣ files", "3 Dateien", 0),
        ("CO2 over 10\N{SUPERSCRIPT TWO}", "CO\N{SUBSCRIPT TWO} über 102", 0),
        ("32 768.5 of 1,000", "32.768,5 von 1\N{NO-BREAK SPACE}000", 0),
        ("1'000 in 2024", "1000 anno 2024", 0),
        ("none", "7", 0),
    ],
)
def test_numbers_are_compared_by_their_digits(source: str, target: str, lost: int) -> None:
    assert text_measures.numbers_lost(source, target) == lost


@pytest.mark.parametrize(
    ("source", "target", "share"),
    [
        ("a b c d", "a b c d", 1.0),
        ("a b c d", "x b y d", 0.5),
        ("a b c d", "d c b a", 0.25),
        ("One two {x} three four", "one TWO drei vier", 0.5),
        ("Home Assistant", "Home Assistant", None),
    ],
)
def test_copies_are_words_in_their_order(source: str, target: str, share: float | None) -> None:
    assert text_measures.source_copy(source, target) == share


@pytest.mark.parametrize(
    ("target", "share"),
    [
        ("", 0.0),
        ("bye bye", 0.0),
        ("ja ja ja gut", 0.75),
        ("a b a b a b c d", 0.75),
        ("x a b c d a b c d a b c d", 12 / 13),
    ],
)
def test_repetition_needs_three_in_a_row(target: str, share: float) -> None:
    assert text_measures.repetition(target) == pytest.approx(share)


def test_a_table_is_measured_row_by_row() -> None:
    random = np.random.default_rng(1)
    lengths = [3, 1, 4]
    log_probs = np.sort(np.log(random.dirichlet(np.ones(5), size=8)), axis=1)[:, ::-1].astype(np.float16)
    entropy = random.random(8).astype(np.float16)
    table = _table(lengths, log_probs[:, 1], entropy, log_probs[:, :2])
    config = measure.Config()

    measured = measure.run(table, config, measure.load(config, {}, Runtime()))
    expected = {"language_unknown": 1, "without_reference": 2, "too_long_to_score": 0, "without_soft_targets": 0}
    assert measure.count(measured) == expected
    found = measured.to_pylist()

    assert [row["id"] for row in found] == ["0", "1", "2"]
    starts = [0, 3, 4, 8]
    for number, row in enumerate(found):
        span = slice(starts[number], starts[number + 1])
        assert row["log_prob_per_token"] == pytest.approx(log_probs[span, 1].astype(np.float64).mean())
        assert row["target_length"] == len(entropy[span]) - 1
        assert row["mean_entropy"] == pytest.approx(entropy[span].astype(np.float64).mean())
    expected = CHRF().sentence_score(ROWS[0][1], [str(ROWS[0][2])]).score
    assert found[0]["reference_chrf"] == pytest.approx(expected)
    assert found[1]["reference_chrf"] is None
    assert found[0]["language_probability"] > 0.9
    assert found[1]["language_probability"] < 0.5
    assert found[2]["language_probability"] is None, "nothing but a placeholder"


def test_a_length_ratio_does_not_count_space_around() -> None:
    assert text_measures.length_ratio("abcd", " ab ") == 0.5
    assert text_measures.length_ratio("abcd", "  ") == 0


def test_languages_that_cannot_be_told_are_unknown_and_not_wrong() -> None:
    identifier = measure.LanguageIdentifier([])
    assert identifier.probability("Guten Morgen, wie geht es?", "en", "ace") is None
    assert identifier.probability("Guten Morgen, wie geht es?", "en", "sr-Latn") is None
    assert identifier.probability("Gateway {very_long_name_indeed}", "en", "de") is None, "too short"
    assert identifier.probability("今日はとても良い天気です", "en", "ja") > 0.9  # type: ignore[operator]
    assert identifier.probability("Доброе утро, как у тебя дела?", "en", "sr-Cyrl") > 0.9  # type: ignore[operator]
    assert identifier.probability("Guten Morgen, wie geht es?", "en", "de-AT") > 0.9  # type: ignore[operator]
    assert identifier.probability("God morgen, hvordan har du det?", "en", "no") > 0.9  # type: ignore[operator]


def test_a_language_that_lingua_lacks_is_a_fault_of_the_recipe() -> None:
    with pytest.raises(ValidationError, match="lingua does not know ace"):
        measure.Config(other_languages=["fr", "ace"])


def test_of_a_row_that_no_teacher_is_for_nothing_is_said() -> None:
    soft = np.full(3, -1.0)
    table = _table([1, 1, 1], soft, soft, np.full((3, 2), -2.0), pairs=("en-de",))
    table = table.set_column(table.schema.get_field_index("target_language"), "target_language", [["de", "sv", "de"]])
    found = measure.run(table, measure.Config(), measure.load(measure.Config(), {}, Runtime()))
    for name in ("log_prob_per_token", "mean_entropy"):
        assert found.column(name).to_pylist() == [-1.0, None, -1.0]


def _table(
    lengths: list[int],
    token_log_probs: np.ndarray,
    entropy: np.ndarray,
    topk: np.ndarray,
    pairs: tuple[str, ...] = (),
) -> pa.Table:
    positions = sum(lengths)
    soft = pack(
        row_ids=["0", "1", "2"],
        lengths=lengths,
        conditioning="hypothesis",
        topk_ids=np.tile([0, 1], (positions, 1)),
        topk_log_probs=topk,
        tail_log_mass=np.full(positions, -3.0),
        token_log_probs=token_log_probs,
        entropy=entropy,
        target_format=SoftTargetFormat(
            k=2,
            vocabulary_size=9,
            ids_dtype="uint16",
            vocabulary_digest="v",
            teacher_digest="t",
            pairs=pairs,
            compute_type="float32",
            backend="torch",
        ),
    )
    sources, targets, references = zip(*ROWS, strict=True)
    texts = {"source": sources, "target": targets, "reference": references}
    for name, values in texts.items():
        soft = soft.append_column(name, pa.array(values, pa.string()))
    soft = soft.append_column("target_tokens", pa.array([text.split() for text in targets]))
    soft = soft.append_column("index", pa.array([0] * len(ROWS), pa.int32()))
    for name, tag in (("source_language", "en"), ("target_language", "de")):
        soft = soft.append_column(name, pa.array([tag] * len(ROWS)))
    assert set(measure.SCHEMA.names) == set(schema.MEASURES.names)
    return soft


def test_unknown_tokens_are_counted_and_columns_joined(tmp_path: Path) -> None:
    path = tmp_path / "qe.tsv"
    path.write_text("id\trank\tqe\n0\t0\t0.5\n1\t1\t0.7\n", encoding="utf-8")
    config = measure.Config.model_validate({"columns": [{"name": "qe", "path": str(path)}]})
    soft = np.full(3, -1.0)
    table = _table([1, 1, 1], soft, soft, np.full((3, 2), -2.0))
    tokens = [["a", "<unk>", "<unk>"], ["a"], ["<unk>"]]
    table = table.set_column(table.schema.get_field_index("target_tokens"), "target_tokens", [tokens])
    table = table.set_column(table.schema.get_field_index("target"), "target", [["a", "⁇ ⁇", "{x} ⁇"]])
    measured = measure.run(table, config, measure.load(config, {}, Runtime()))
    assert measured.column("unknown_tokens").to_pylist() == [2, 2, 1]
    assert measured.column("columns").to_pylist() == [[{"name": "qe", "value": value}] for value in (0.5, None, None)]
    assert measure.count(measured)["without_qe"] == 2
    assert measure.external_files(config) == [path]


def test_languages_of_corpus_and_teacher_are_told_apart(tmp_path: Path, tiny_teacher: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_teacher, folder)
    info = load_teacher_info(folder).model_copy(update={"language_names": {"nb": "nob", "fr": "fra"}})
    save_teacher_info(folder, info)
    corpus = new_artifact(tmp_path, "corpus")
    given = {"source_language": "en", "sources": [{"target_language": "da", "source_language": None}]}
    corpus.complete(stage="corpus", version="1", config=given, inputs={}, libraries={}, metrics={})
    artifacts = {"corpus": corpus, "teacher": artifact_of_folder(tmp_path, "teacher", folder)}
    identifier = measure.load(measure.Config(), artifacts, Runtime()).identifier
    danish = "Hvis du ikke længere kan åbne siden, bør du først kontakte os og give os besked af hensyn til dine penge"
    found = identifier.probability(danish, "en", "nb")
    assert found is not None
    assert found < 0.1
    alone = measure.load(measure.Config(), {}, Runtime()).identifier.probability(danish, "en", "nb")
    assert alone is not None
    assert alone > 0.1
