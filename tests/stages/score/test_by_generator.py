"""Soft targets of a decoder-only teacher, against the same weights in OpenNMT-py in float64."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import Prompt, load_teacher_info, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, unpack
from stages.score import stage as score
from tests.fixtures.artifacts import artifact_of_folder, words_tokenizer
from tests.fixtures.oracle import continued_log_probs
from tests.fixtures.tiny_language_model import LanguageModelShape, write_tiny_language_model

VOCABULARY = LanguageModelShape().vocabulary()
K = 5


def words(random: np.random.Generator, length: int) -> list[str]:
    return [f"a{number}" for number in random.integers(0, 36, length)]


def rows(seed: int = 3) -> tuple[list[list[str]], list[list[str]]]:
    """Of unequal lengths; one target is empty, one has a word that the teacher does not know."""
    random = np.random.default_rng(seed)
    sources = [words(random, length) for length in (3, 9, 1, 5, 7, 2, 12)]
    targets = [words(random, length) for length in (4, 1, 0, 8, 3, 2, 11)]
    targets[4][1] = "zebra"
    return sources, targets


def table(sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array([f"{number:032x}" for number in range(len(sources))], pa.string()),
            "source": pa.array([" ".join(source) for source in sources], pa.string()),
            "target_tokens": pa.array(targets, pa.list_(pa.string())),
            "metric": pa.array(["chrf"] * len(sources), pa.string()),
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_language_model(tmp_path / "model")


def artifacts(store: Path, folder: Path) -> dict[str, Artifact]:
    return {"teacher": artifact_of_folder(store, "teacher", folder), "tokenizer": words_tokenizer(store)}


def run(inputs: dict[str, Artifact], data: pa.Table, **options: object) -> pa.Table:
    config = score.Config.model_validate({"k": K, **options})
    return score.run(data, config, score.load(config, inputs, Runtime(threads=2)))


def check(folder: Path, result: pa.Table, prompts: Sequence[Sequence[str]], end: str = "</s>") -> None:
    targets = rows()[1]
    for prompt, target, row in zip(prompts, targets, unpack(result), strict=True):
        expected = continued_log_probs(folder / "checkpoint.pt", prompt, target, end)
        assert len(row.entropy) == len(target) + 1
        ids = row.topk_ids.astype(np.int64)
        np.testing.assert_array_equal(ids[:, 0], expected.argmax(axis=1))
        kept = np.take_along_axis(expected, ids, axis=1)
        np.testing.assert_allclose(kept, -np.sort(-expected, axis=1)[:, :K], atol=2e-4)
        np.testing.assert_allclose(row.topk_log_probs, kept, rtol=1e-3, atol=2e-4)
        tail = np.exp(expected).sum(axis=1) - np.exp(kept).sum(axis=1)
        np.testing.assert_allclose(row.tail_log_mass, np.log(tail), rtol=1e-3, atol=2e-4)
        np.testing.assert_allclose(row.entropy, -(np.exp(expected) * expected).sum(axis=1), rtol=1e-3, atol=2e-4)
        forced = [VOCABULARY.index(token) if token in VOCABULARY else 0 for token in (*target, end)]
        np.testing.assert_allclose(row.token_log_probs, expected[range(len(forced)), forced], rtol=1e-3, atol=2e-4)


def test_soft_targets_are_the_models_distribution_behind_the_prompt(folder: Path, tmp_path: Path) -> None:
    sources, targets = rows()
    result = run(artifacts(tmp_path, folder), table(sources, targets))
    assert result.column("length").to_pylist() == [len(target) + 1 for target in targets]
    check(folder, result, [["<s>", *source, "<sep>"] for source in sources])
    told, info = SoftTargetFormat.of(result.schema), load_teacher_info(folder)
    assert (told.backend, told.compute_type, told.vocabulary_size) == ("ctranslate2", "float32", len(VOCABULARY))
    assert (told.vocabulary_digest, told.teacher_digest) == (info.vocabulary_digest, info.digest)


def test_a_prompt_in_text_stands_around_the_source_and_its_own_end_is_scored(folder: Path, tmp_path: Path) -> None:
    prompt = Prompt(before="a1 a2 a3 ", after=" a4")
    asked = {"prompt": prompt, "source_suffix": (), "end_token": "a9"}
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update=asked))
    sources, targets = rows()
    result = run(artifacts(tmp_path, folder), table(sources, targets))
    check(folder, result, [["<s>", "a1", "a2", "a3", *source, "a4"] for source in sources], end="a9")


def test_a_row_does_not_hang_on_its_batch(folder: Path, tmp_path: Path) -> None:
    inputs, data = artifacts(tmp_path, folder), table(*rows())
    for one, other in zip(unpack(run(inputs, data)), unpack(run(inputs, data, max_batch_tokens=1)), strict=True):
        np.testing.assert_array_equal(one.topk_ids, other.topk_ids)
        np.testing.assert_allclose(one.tail_log_mass, other.tail_log_mass, rtol=1e-3, atol=1e-3)


def test_shards_of_nothing(folder: Path, tmp_path: Path) -> None:
    inputs = artifacts(tmp_path, folder)
    assert run(inputs, table([], [])).num_rows == 0
    assert run(inputs, table([["a1"] * 3000, []], [[], []])).column("length").to_pylist() == [1, 1]


def test_what_cannot_be_scored_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="torch, which scores no decoder-only teacher"):
        run(artifacts(tmp_path, folder), table(*rows()), backend="torch")


def test_a_prompt_and_a_target_beyond_the_positions_are_not_scored(folder: Path, tmp_path: Path) -> None:
    short = write_tiny_language_model(tmp_path / "short", shape=LanguageModelShape(positions=17))
    sources, targets = rows()
    result = run(artifacts(tmp_path, short), table(sources, targets))
    # <s>, <sep> and two to spare: 13 for a source and its target together, which the fourth row has.
    fits = [len(source) + len(target) <= 13 for source, target in zip(sources, targets, strict=True)]
    assert fits == [True, True, True, True, True, True, False]
    assert result.column("conditioning").to_pylist() == ["hypothesis" if each else "none" for each in fits]
    assert score.count(result)["too_long"] == 1
    for source, target, row in list(zip(sources, targets, unpack(result), strict=True))[:-1]:
        expected = continued_log_probs(folder / "checkpoint.pt", ["<s>", *source, "<sep>"], target)
        np.testing.assert_allclose(row.entropy, -(np.exp(expected) * expected).sum(axis=1), rtol=1e-3, atol=2e-4)
