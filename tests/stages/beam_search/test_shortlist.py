"""The shortlist: learned from a known dictionary, obeyed by decode when it is asked for, and never by score."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.errors import DataError
from data.runtime import Runtime
from data.soft_targets import flat
from stages.beam_search.shortlist import FREQUENT, learn_shortlist
from stages.calibrate import stage as calibrate
from stages.decode import stage as decode
from stages.score import stage as score
from tests.fixtures.artifacts import (
    artifact_of_folder,
    artifact_of_tables,
    closed,
    new_artifact,
    words_tokenizer,
)

WORDS = 200
DICTIONARY = {f"s{number}": f"t{(7 * number) % WORDS}" for number in range(WORDS)}
VOCABULARY = [*(f"t{number}" for number in range(WORDS)), "copied", "unused"]


def read(content: str) -> dict[str, list[str]]:
    lines = [line.split("\t") for line in content.removesuffix("\n").split("\n")]
    return {source: targets.split(" ") for source, targets in lines}


def translated(rows: int, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Sentences of distinct words, translated word by word and put into another order."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        source = [f"s{number}" for number in random.choice(WORDS, 8, replace=False)]
        found.append((source, [DICTIONARY[source[place]] for place in random.permutation(8)]))
    return found


def test_a_dictionary_is_found_again() -> None:
    content = read(learn_shortlist(translated(600), VOCABULARY, 3))
    assert all(content[source][0] == target for source, target in DICTIONARY.items())
    assert {len(targets) for source, targets in content.items() if source} == {3}
    assert len(content[""]) <= FREQUENT + 3


def test_frequent_targets_are_always_candidates_and_what_is_in_both_may_be_copied() -> None:
    pairs = [*translated(50), *([(["copied"], ["t5"])] * 300)]
    content = read(learn_shortlist(pairs, VOCABULARY, 2))
    assert "t5" in content[""]
    assert content["copied"][:2] == ["copied", "t5"]
    assert "unused" not in {target for targets in content.values() for target in targets}


@pytest.fixture(scope="module")
def inputs(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A corpus in which every word stays what it is."""
    store = tmp_path_factory.mktemp("store")
    random = np.random.default_rng(3)
    texts = [" ".join(f"a{number}" for number in random.integers(0, 36, 5)) for _ in range(30)]
    rows = {"id": [f"{number:032x}" for number in range(30)], "source": texts, "reference": texts}
    return {
        "corpus": artifact_of_tables(store, "corpus", {"train-00000": pa.table(rows)}),
        "teacher": artifact_of_folder(store, "teacher", tiny_teacher),
        "tokenizer": words_tokenizer(store),
    }


def calibrated(folder: Path, inputs: Mapping[str, Artifact], options: dict[str, Any]) -> dict[str, Artifact]:
    output = new_artifact(folder, "calibrate")
    calibrate.run(inputs, calibrate.Config.model_validate(options), output, Runtime())
    return {**inputs, "calibrate": closed(output)}


def test_decode_keeps_to_the_shortlist(
    inputs: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.beam_search.shortlist.FREQUENT", 2)
    # A row a batch: candidates are those of all sources of a batch.
    options = {"shortlist": 1, "max_batch_tokens": 1, "max_decoding_length": 12}
    artifacts = calibrated(tmp_path, inputs, options)
    content = read((artifacts["calibrate"].path() / "vmap.txt").read_text())
    config = decode.Config.model_validate(options)
    table = inputs["corpus"].read_shard("train-00000", ["id", "source"])
    result = decode.run(table, config, decode.load(config, artifacts, Runtime()))
    for source, row in zip(table["source"].to_pylist(), result["hypotheses"].to_pylist(), strict=True):
        # CTranslate2 adds its special tokens.
        allowed = {"<unk>"} | {target for word in ["", *source.split()] for target in content[word]}
        assert {token for one in row for token in one["tokens"]} <= allowed


def test_a_shortlist_needs_references(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    rows = {"id": ["0" * 32], "source": ["a1"], "reference": pa.nulls(1, pa.string())}
    monolingual = {**inputs, "corpus": artifact_of_tables(tmp_path, "corpus", {"train-00000": pa.table(rows)})}
    with pytest.raises(DataError, match="learned from references, and no row of the corpus has one"):
        calibrated(tmp_path, monolingual, {"shortlist": 5})


@pytest.mark.parametrize("backend", ["ctranslate2", "torch"])
def test_soft_targets_never_use_a_shortlist(
    inputs: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path, backend: str
) -> None:
    folder = shutil.copytree(tiny_teacher, tmp_path / "with")
    (folder / "vmap.txt").write_text("\ta1 a2 a3 a4 a5 a6 a7\n")
    listed = {**inputs, "teacher": artifact_of_folder(tmp_path, "teacher", folder)}
    columns = {
        "id": ["0" * 32],
        "source": ["a1 a2 a3"],
        "target_tokens": [["a9", "a1", "a20"]],
        "metric": ["chrf"],
    }
    config = score.Config.model_validate({"k": 40, "backend": backend})
    tables = [
        score.run(pa.table(columns), config, score.load(config, artifacts, Runtime())) for artifacts in (inputs, listed)
    ]
    ids = flat(tables[1], "topk_ids")
    assert [len(set(row)) for row in ids.tolist()] == [40] * 4
    assert tables[0].drop_columns("id").equals(tables[1].drop_columns("id"))


def test_decode_uses_none_unless_asked(inputs: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_teacher, tmp_path / "with")
    (folder / "vmap.txt").write_text("\ta1 a2 a3 a4 a5 a6 a7\n")
    listed = {**inputs, "teacher": artifact_of_folder(tmp_path, "teacher", folder)}
    config = decode.Config(max_decoding_length=12, max_batch_tokens=64)
    table = inputs["corpus"].read_shard("train-00000", ["id", "source"])
    results = [decode.run(table, config, decode.load(config, one, Runtime())) for one in (inputs, listed)]
    assert results[0]["hypotheses"].equals(results[1]["hypotheses"])
