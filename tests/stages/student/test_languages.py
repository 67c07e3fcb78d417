"""What the stage student makes of [student.languages], and of the teachers that its pairs are compared with."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.model_folder import load_teacher_info, read_vocabulary, save_teacher_info
from data.runtime import Runtime
from stages.text.tokenizer import load_tokenizer
from stages.training.multilingual import teacher_cross_entropy
from tests.fixtures.artifacts import artifact_of_tables, words_tokenizer
from tests.fixtures.oracle import forced_log_probs
from tests.fixtures.tiny_student import PiecesShape
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_teacher
from tests.stages.student.test_student import (
    SMALL,
    artifacts,
    corpus_table,
    curve,
    dataset_table,
    out_of_english,
    run,
    told_to_train,
)

WORDS = tuple(TinyShape().vocabulary()[4:])


@pytest.fixture
def vocabulary(tiny_teacher: Path) -> list[str]:
    return read_vocabulary(tiny_teacher, "target")


def of_english(folder: Path, teacher: Path, targets: Mapping[str, int]) -> dict[str, Artifact]:
    """Inputs of the stage out of English, with so many shards of 30 rows of each target language."""
    made = dataset_table(read_vocabulary(teacher, "target"))
    tables = [out_of_english(made, target) for target, shards in targets.items() for _ in range(shards)]
    pairs = [
        out_of_english(corpus_table(1 + shard), target) for target, shards in targets.items() for shard in range(shards)
    ]
    ids = [pa.array([f"{number:016x}{row:016x}" for row in range(30)]) for number in range(len(pairs))]
    corpus = {
        f"train-{number:05}": table.append_column("id", each)
        for number, (table, each) in enumerate(zip(pairs, ids, strict=True))
    }
    corpus["valid-00000"] = pa.concat_tables([out_of_english(corpus_table(5), target) for target in targets])
    return artifacts(folder, teacher, pa.concat_tables(tables), corpus=corpus)


def plain_cross_entropy(teacher: Path, pairs: Sequence[tuple[str, str]]) -> float:
    """In nats a token, of the checkpoint in float64."""
    tokens = read_vocabulary(teacher, "target")
    total, positions = 0.0, 0
    for source, reference in pairs:
        target = reference.split()
        log_probs = forced_log_probs(teacher / "checkpoint.pt", source.split(), target)
        ids = [tokens.index(token) for token in [*target, "</s>"]]
        total, positions = total - float(log_probs[range(len(ids)), ids].sum()), positions + len(ids)
    return total / positions


def rows_of(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["source"].to_pylist(), table["reference"].to_pylist(), strict=True))


def test_a_pair_is_distilled_until_the_student_is_better_by_the_margin(tmp_path: Path, tiny_teacher: Path) -> None:
    """A random teacher is worse than a student that begins with all words alike."""
    inputs = of_english(tmp_path, tiny_teacher, {"de": 1})
    optimiser = {"optimiser": SMALL["optimiser"] | {"validate_every": 3}}

    def told(margin: float) -> list[dict[str, float]]:
        languages = {"tags": "none", "stop_distilling": {"margin": margin}}
        folder, _ = run(tmp_path / f"margin{margin}", inputs, languages=languages, **optimiser)
        return [line for line in curve(folder) if "valid_cross_entropy" in line]

    first, *_ = found = told(0.0)
    assert [(line["step"], line["distils_en-de"]) for line in found] == [(3, 0.0), (6, 0.0)]
    # What the student is at step 3 no margin has changed yet.
    lead = plain_cross_entropy(tiny_teacher, rows_of(corpus_table(5))) - first["valid_cross_entropy_en-de"]
    assert lead > 0.1
    assert told(lead - 0.02)[0]["distils_en-de"] == 0.0
    assert told(lead + 0.02)[0]["distils_en-de"] == 1.0


def test_teacher_and_student_are_compared_on_the_same_rows(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.training import valid_rows

    asked: list[str] = []
    validated: list[list[str]] = []

    def taught(folder: Path, rows: dict[Any, pa.Table], *others: Any) -> dict[Any, float]:
        asked.extend(text for table in rows.values() for text in table["source"].to_pylist())
        return dict.fromkeys(rows, 1.0)

    def noted(streams: Any, most: int) -> Any:
        found = sampled(streams, most)
        validated.append([text for _, table in found.tables() for text in table["source"].to_pylist()])
        return found

    sampled = valid_rows.sampled
    monkeypatch.setattr("stages.training.reference_cross_entropy.cross_entropy", taught)
    monkeypatch.setattr("stages.training.api.sampled", noted)
    languages = {"tags": "none", "stop_distilling": {"margin": 0.0}}
    run(tmp_path, of_english(tmp_path, tiny_teacher, {"de": 1}), languages=languages, validation={"rows": 7})
    assert [asked] == validated and len(asked) == 7


def test_without_the_section_every_pair_is_distilled(tmp_path: Path, tiny_teacher: Path) -> None:
    folder, metrics = run(tmp_path, of_english(tmp_path, tiny_teacher, {"de": 1}), languages={"tags": "none"})
    assert "valid_cross_entropy_en-de" in metrics
    assert not any(key.startswith("distils") for line in curve(folder) for key in line)


def test_of_several_teachers_of_a_pair_the_best_counts(tmp_path: Path, tiny_teacher: Path) -> None:
    """The other is for Swedish alone, and no row without a reference counts."""
    both = shutil.copytree(tiny_teacher, tmp_path / "both")
    other = write_tiny_teacher(tmp_path / "other", seed=1)
    swedish = shutil.copytree(other, tmp_path / "swedish")
    for folder, pairs in ((both, ("en-de", "en-sv")), (swedish, ("en-sv",))):
        save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"pairs": pairs}))
    german, few = corpus_table(5), corpus_table(7).slice(0, 12)
    valid = pa.concat_tables(
        [out_of_english(german), out_of_english(few, "sv"), out_of_english(corpus_table(8, references=False), "sv")]
    )
    corpus = artifact_of_tables(tmp_path, "corpus", {"valid-00000": valid})
    tokenizer = load_tokenizer(words_tokenizer(tmp_path).path())

    def known(*teachers: Path) -> dict[str, float]:
        return teacher_cross_entropy(teachers, corpus.tables("valid-"), tokenizer, 50, Runtime())

    of_german = [plain_cross_entropy(folder, rows_of(german)) for folder in (both, other)]
    of_swedish = [plain_cross_entropy(folder, rows_of(few)) for folder in (both, other)]
    assert abs(of_german[0] - of_german[1]) > 0.05 and abs(of_swedish[0] - of_swedish[1]) > 0.05
    wanted = {"en-de": min(of_german), "en-sv": min(of_swedish)}
    assert known(both, other) == pytest.approx(wanted, abs=5e-3)
    assert known(other, both) == pytest.approx(wanted, abs=5e-3)
    wanted["en-de"] = of_german[0]
    assert known(both, swedish) == pytest.approx(wanted, abs=5e-3)
    assert known(swedish) == pytest.approx({"en-sv": of_swedish[1]}, abs=5e-3)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_pairs_have_their_shares_at_the_sampling_temperature(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    told = told_to_train(monkeypatch)
    inputs = of_english(tmp_path, tiny_teacher, {"de": 4, "sv": 1})
    later = [{"begin": 3, "data": "hypothesis"}]
    languages = {"sampling_temperature": temperature}
    run(tmp_path, inputs, languages=languages, data={"hypothesis": 3, "reference": 1}, phases=later)
    german = {1.0: 0.8, 2.0: 2 / 3}[temperature]  # 120 : 30 rows, or their roots, 2 : 1
    # Those of the kinds of data are as the recipe says them, those of pairs are in how often rows are drawn.
    assert [phase.shares for phase in told["phases"]] == [{"hypothesis": 3, "reference": 1}, {"hypothesis": 1}]
    for stream in told["data"].streams:
        assert stream.rows == {("en", "de"): 120, ("en", "sv"): 30}
        table = stream.shards[0]()
        worth = np.ones(table.num_rows) if stream.worth is None else stream.worth.of(table)
        wanted = {"de": german * 150 / 120, "sv": (1 - german) * 150 / 30}
        assert worth == pytest.approx([wanted[target] for target in table["target_language"].to_pylist()])


def test_the_teacher_in_memory_is_told_the_students_tags(tmp_path: Path) -> None:
    """It reads the student's batches as they are, tags included, and would refuse a student without."""
    shape = PiecesShape(pieces=(*WORDS, "<2de>", "<2en>"))
    teacher = write_tiny_teacher(tmp_path / "teacher", shape=shape)
    tags: dict[str, Any] = {"source_prefix": ("<2{target}>",), "language_names": {"en": "en", "de": "de"}}
    save_teacher_info(teacher, load_teacher_info(teacher).model_copy(update=tags))
    terms = {"soft_targets": {"weight": 0}, "features": [{}]}
    inputs = of_english(tmp_path, teacher, {"de": 1})
    folder, _ = run(tmp_path, inputs, objective=terms, languages={"tags": "target"})
    lines = [line["features_encoder"] for line in curve(folder) if "loss" in line]
    assert np.isfinite(lines).all() and min(lines) > 0
