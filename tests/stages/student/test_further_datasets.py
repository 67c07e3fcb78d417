"""Distilled datasets beside the recipe's own: which columns are read, how often, and what does not fit."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.dataset import stage as dataset
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.student import stage as student
from stages.student.further_config import DatasetConfig, with_further
from stages.student.further_rows import further_datasets
from stages.student.further_streams import further_streams
from stages.training.batches.soft_columns import SoftTargetColumns
from stages.training.schedules import Schedule
from stages.training.vocabulary import Vocabulary
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact
from tests.fixtures.distilled import made_up_inputs
from tests.fixtures.tiny_student import write_tiny_tokenizer
from tests.stages.student.test_student import (
    ROWS,
    SMALL,
    batches_learned,
    corpus_table,
    dataset_table,
    out_of_english,
    told_to_train,
    words,
)

HYPOTHESES = {"objective": {"soft_targets": {"weight": 0.0}}}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A copy of a dataset under another name; its vocabulary is that of tests/fixtures/distilled.py."""
    inputs = made_up_inputs(tmp_path / "other")
    made = new_artifact(tmp_path / "other", "dataset")
    dataset.run(inputs, dataset.Config(), made, Runtime())
    return shutil.copytree(Path(closed(made).url), tmp_path / "published")


def texts_of_dataset(tokens: list[str]) -> pa.Table:
    """As test_student makes it, with all of its texts; each is its row's alone, and the row's number is in it."""
    table = out_of_english(dataset_table(tokens)).append_column("number", pa.array(range(ROWS)))
    table = table.set_column(table.schema.get_field_index("source"), "source", [_numbered("quelle", words(1))])
    references = [None if row % 3 == 0 else text for row, text in enumerate(_numbered("reference", words(3)))]
    return table.append_column("target", [_numbered("ziel", words(2))]).append_column(
        "reference", pa.array(references, pa.string())
    )


def _numbered(name: str, rows: list[list[str]]) -> list[str]:
    return [f"{name}{number} {' '.join(row)}" for number, row in enumerate(rows)]


def of_vocabulary(folder: Path, tokens: list[str]) -> Path:
    """That dataset, twice, with soft targets and the vocabulary beside it."""
    made = new_artifact(folder, "dataset")
    for name in ("train-00000", "train-00001"):
        made.write_shard(name, texts_of_dataset(tokens))
    (made.work_path() / "vocabulary.json").write_text(json.dumps({"source": tokens, "target": tokens}))
    return Path(closed(made).url)


def held_out_rows(*rows: tuple[str, str, str, str]) -> pa.Table:
    """PAIRS of source language, target language, source and reference."""
    names = ("source_language", "target_language", "source", "reference")
    return pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


def trained(
    root: Path,
    teacher: Path,
    path: Path,
    held_out: dict[str, pa.Table] | None = None,
    *,
    ratio: float = 2.0,
    **options: Any,
) -> dict[str, Any]:
    tokens = read_vocabulary(teacher, "target")
    inputs = {
        "dataset": artifact_of_tables(root, "dataset", {"train-00000": dataset_table(tokens)}),
        "corpus": artifact_of_tables(root, "corpus", {"train-00000": corpus_table(1), **(held_out or {})}),
        "tokenizer": artifact_of_folder(root, "tokenizer", write_tiny_tokenizer(root / "spaces", kind="none")),
        "teacher": artifact_of_folder(root, "teacher", teacher),
    }
    further = {"name": "other", "path": str(path), "ratio": ratio}
    config = student.Config.model_validate(SMALL | {"datasets": [further]} | options)
    return student.run(inputs, config, new_artifact(root, "student"), Runtime())


def test_its_batches_come_in_their_ratio_beside_the_recipes_own(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = of_vocabulary(tmp_path / "other", read_vocabulary(tiny_teacher, "target"))
    steps = {"optimiser": SMALL["optimiser"] | {"steps": 60}}
    learned = batches_learned(monkeypatch)
    metrics = trained(tmp_path / "own", tiny_teacher, other, ratio=8.0, **steps)
    assert metrics["streams"]["other"]["rows"] == 60
    assert metrics["divergence"] > 0
    assert set(learned) == {("hypothesis", True), ("other", True)}
    # Eight of nine batches, within three standard deviations of as many draws.
    deviation = (60 * 8 / 9 * 1 / 9) ** 0.5
    assert [name for name, _ in learned].count("other") == pytest.approx(60 * 8 / 9, abs=3 * deviation)


def test_the_ratio_is_to_the_hypotheses_of_a_mixture(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = of_vocabulary(tmp_path / "other", read_vocabulary(tiny_teacher, "target"))
    told = told_to_train(monkeypatch)
    later = [{"begin": 3, "data": "hypothesis"}]
    trained(tmp_path, tiny_teacher, other, ratio=2.5, data={"hypothesis": 0.6, "reference": 0.4}, phases=later)
    assert [phase.shares for phase in told["phases"]] == [
        {"hypothesis": 0.6, "reference": 0.4, "other": 1.5},
        {"hypothesis": 1.0, "other": 2.5},
    ]


def test_targets_of_another_vocabulary_are_read_as_texts(tmp_path: Path, tiny_teacher: Path, published: Path) -> None:
    metrics = trained(tmp_path / "own", tiny_teacher, published, **HYPOTHESES)
    assert metrics["streams"]["other"]["rows"] > 0


def test_soft_targets_of_another_vocabulary_are_refused(tmp_path: Path, tiny_teacher: Path, published: Path) -> None:
    with pytest.raises(
        ModelError, match=r"other \(.*published\) was made with another target vocabulary.*weight\s+to 0"
    ):
        trained(tmp_path / "own", tiny_teacher, published)


def overlapping(rows: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """Held-out rows that share a text with rows 1, 4, 7, 10 and 13, each in another way, and others that share none."""
    folded = "  ".join(rows[1]["source"].upper().split(" "))
    test = held_out_rows(
        ("en", "de", folded, "sonst nichts"),
        ("en", "de", "something else", rows[4]["reference"]),
        ("de", "en", rows[7]["reference"], "turned round"),
        ("sv", "en", "något annat", rows[10]["source"]),
        # Texts of another language, and a part of one.
        ("de", "en", rows[16]["source"], rows[17]["target"]),
        ("en", "de", rows[18]["source"] + " more", "mehr"),
    )
    return {"test-00000": test, "valid-00000": held_out_rows(("de", "fr", rows[13]["target"], "rien"))}


def test_rows_that_share_a_text_with_what_is_held_out_are_left_out_and_the_others_stay_aligned(
    tmp_path: Path, tiny_teacher: Path
) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    path = of_vocabulary(tmp_path / "other", tokens)
    rows = texts_of_dataset(tokens).to_pylist()
    corpus = artifact_of_tables(tmp_path, "corpus", {"train-00000": corpus_table(1), **overlapping(rows)})

    [other] = further_datasets([DatasetConfig(name="other", path=str(path))], corpus)
    assert other.counts() == {"read": 2 * ROWS, "kept": 2 * (ROWS - 5), "held_out": 10}
    vocabulary = Vocabulary.from_tokens(tokens)
    reader = SoftTargetColumns(tokens, vocabulary)
    [stream] = further_streams([other], tokens, reader, as_text=False, more=("number",))
    kept = [number for number in range(ROWS) if number not in (1, 4, 7, 10, 13)]
    for shard in stream.shards:
        table = shard()
        assert table.column("number").to_pylist() == kept
        assert table.column("source").to_pylist() == [rows[number]["source"] for number in kept]
        # The most probable entry of each position is the row's own token.
        forced = [token for number in kept for token in [*rows[number]["target_tokens"], "</s>"]]
        kd_ids = np.asarray(reader.read(table)["kd_ids"])
        np.testing.assert_array_equal(kd_ids[:, 0], vocabulary.meant(forced))


def test_what_is_held_out_of_further_datasets_is_told_with_the_metrics(tmp_path: Path, tiny_teacher: Path) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    other = of_vocabulary(tmp_path / "other", tokens)
    held_out = overlapping(texts_of_dataset(tokens).to_pylist())
    steps = {"optimiser": SMALL["optimiser"] | {"steps": 40}}
    metrics = trained(tmp_path / "own", tiny_teacher, other, held_out, **steps)
    assert metrics["datasets"] == {"other": {"read": 60, "kept": 50, "held_out": 10}}
    assert metrics["streams"]["other"]["rows"] + metrics["streams"]["other"]["skipped_rows"] == 50
    assert "datasets" not in trained(tmp_path / "plain", tiny_teacher, other, datasets=[])


def test_a_dataset_of_nothing_but_what_is_held_out_is_an_error(tmp_path: Path, tiny_teacher: Path) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    other = of_vocabulary(tmp_path / "other", tokens)
    rows = [("en", "de", row["source"], "x") for row in texts_of_dataset(tokens).to_pylist()]
    with pytest.raises(DataError, match=r"other \(.*\) holds nothing to train on: all of its 60 rows"):
        trained(tmp_path / "own", tiny_teacher, other, {"test-00000": held_out_rows(*rows)})


def test_shares_follow_those_of_the_hypotheses() -> None:
    others = [DatasetConfig(name="a", path="x", ratio=0.5), DatasetConfig(name="b", path="y", ratio=3.0)]
    assert with_further({"hypothesis": 0.8, "reference": 0.2}, others) == {
        "hypothesis": 0.8, "reference": 0.2, "a": 0.4, "b": pytest.approx(2.4)
    }  # fmt: skip
    assert with_further({"reference": 1.0}, others) == {"reference": 1.0}
    shares = with_further({"hypothesis": Schedule(start=0.0, end=1.0, until=10)}, others)
    assert shares["b"] == Schedule(start=0.0, end=3.0, until=10)


def test_what_is_no_dataset_is_told_when_the_recipe_is_read(tmp_path: Path, published: Path) -> None:
    def faults(path: Path | str) -> list[str]:
        given = {"datasets": [{"name": "other", "path": str(path)}]}
        return student.faults(student.Config.model_validate(given))

    assert faults(published) == faults(f"{tmp_path}/publish*") == []
    assert "holds no manifest.json" in faults(tmp_path / "nowhere")[0]
    shutil.copytree(published, tmp_path / "published-again")
    assert "may mean" in faults(f"{tmp_path}/publish*")[0]
    corpus: Artifact = artifact_of_tables(tmp_path, "corpus", {"train-00000": corpus_table(1)})
    assert "was made by the stage corpus" in faults(corpus.url)[0]


@pytest.mark.parametrize(
    "options",
    [
        {"datasets": [{"name": "reference", "path": "x"}]},
        {"datasets": [{"name": "a", "path": "x"}, {"name": "a", "path": "y"}]},
        {"datasets": [{"name": "a", "path": "x"}], "data": "reference"},
    ],
)
def test_names_are_their_own_and_datasets_are_used(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="datasets"):
        student.Config.model_validate(options)


def test_its_manifest_is_in_the_fingerprint(published: Path) -> None:
    given = {"datasets": [{"name": "other", "path": str(published)}]}
    assert student.external_files(student.Config.model_validate(given)) == [published / "manifest.json"]


def test_its_languages_get_tags_and_streams_of_their_own(tmp_path: Path, tiny_teacher: Path) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    made = new_artifact(tmp_path / "other", "dataset")
    made.write_shard("train-00000", out_of_english(dataset_table(tokens), "sv"))
    (made.work_path() / "vocabulary.json").write_text(json.dumps({"source": tokens, "target": tokens}))
    swedish = closed(made, metrics={"languages": [{"source": "en", "target": "sv", "rows": 30}]})
    own = {"dataset": dataset_table(tokens), "corpus": corpus_table(1)}
    inputs = {
        name: artifact_of_tables(tmp_path, name, {"train-00000": out_of_english(each)}) for name, each in own.items()
    } | {
        "tokenizer": artifact_of_folder(tmp_path, "tokenizer", write_tiny_tokenizer(tmp_path / "spaces", kind="none")),
        "teacher": artifact_of_folder(tmp_path, "teacher", tiny_teacher),
    }
    options = {"datasets": [{"name": "other", "path": str(swedish.url)}], "languages": {}}
    config = student.Config.model_validate(SMALL | options)
    metrics = student.run(inputs, config, new_artifact(tmp_path, "student"), Runtime())
    assert metrics["languages"]["pairs"] == {"en-de": 30, "en-sv": 30}
    assert set(metrics["languages"]["language_names"]) == {"en", "de", "sv"}


def test_soft_targets_of_other_pairs_alone_are_not_learned(tmp_path: Path, tiny_teacher: Path) -> None:
    tokens = read_vocabulary(tiny_teacher, "target")
    made = new_artifact(tmp_path, "dataset")
    made.write_shard("train-00000", out_of_english(dataset_table(tokens, target_format={"pairs": ("en-de",)}), "sv"))
    (made.work_path() / "vocabulary.json").write_text(json.dumps({"source": tokens, "target": tokens}))
    path = str(closed(made).url)
    corpus = artifact_of_tables(tmp_path, "corpus", {"train-00000": corpus_table(1)})
    (one,) = further_datasets([DatasetConfig(name="other", path=path)], corpus)
    reader = SoftTargetColumns(tokens, Vocabulary.from_tokens(tokens))
    (alone,) = further_streams([one], tokens, reader, as_text=False)
    (apart,) = further_streams([one], tokens, reader, as_text=False, more=LANGUAGES)
    assert alone.soft_targets is None and apart.soft_targets is reader


def test_what_is_read_of_the_corpus_is_what_the_fingerprint_holds(
    tmp_path: Path, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read: dict[str, set[str]] = {}
    read_shard = Artifact.read_shard

    def noted(self: Artifact, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        if self.node == "corpus":
            read.setdefault(name.partition("-")[0], set()).update(columns or ("all",))
        return read_shard(self, name, columns)

    monkeypatch.setattr(Artifact, "read_shard", noted)
    tokens = read_vocabulary(tiny_teacher, "target")
    path = of_vocabulary(tmp_path / "other", tokens)
    held_out = {
        "test-00000": held_out_rows(("en", "de", "a", "b")),
        "valid-00000": held_out_rows(("en", "de", "c", "d")),
    }
    trained(tmp_path / "own", tiny_teacher, path, held_out, data={"hypothesis": 0.5, "reference": 0.5})
    config = student.Config.model_validate(SMALL | {"datasets": [{"name": "other", "path": str(path)}]})
    known = student.reads_only(config)["corpus"]
    assert set(read) == {"train", "valid", "test"}
    assert all(columns <= set(known[split]) for split, columns in read.items())
