"""Soft targets, against the same weights in OpenNMT-py in float64."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.model_folder import describe_model, load_teacher_info, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, SoftTargets, unpack
from stages.loaded_model.model import TargetVocabulary
from stages.score import stage as score
from stages.score.by_torch import TorchScorer
from tests.fixtures.artifacts import artifact_of_folder, words_tokenizer
from tests.fixtures.oracle import forced_log_probs
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_teacher

BACKENDS = ("ctranslate2", "torch")
VOCABULARY = TinyShape().vocabulary()
K = 5


def words(random: np.random.Generator, length: int) -> list[str]:
    return [f"a{number}" for number in random.integers(0, 36, length)]


def rows(seed: int = 3) -> tuple[list[list[str]], list[list[str]]]:
    """Sources and targets of unequal lengths, one target empty, one with a word that the teacher does not know."""
    random = np.random.default_rng(seed)
    sources = [words(random, length) for length in (3, 9, 1, 5, 7, 2, 12)]
    targets = [words(random, length) for length in (4, 1, 0, 8, 3, 2, 11)]
    targets[4][1] = "zebra"
    return sources, targets


def table(sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], metric: str = "chrf") -> pa.Table:
    return pa.table(
        {
            "id": pa.array([f"{number:032x}" for number in range(len(sources))], pa.string()),
            "metric": pa.array([metric] * len(sources), pa.string()),
            "source": [" ".join(source) for source in sources],
            "target_tokens": pa.array(targets, pa.list_(pa.string())),
        }
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def artifacts(tiny_teacher: Path, store: Path) -> dict[str, Artifact]:
    teacher = artifact_of_folder(store, "teacher", tiny_teacher)
    return {"teacher": teacher, "tokenizer": words_tokenizer(store)}


def run(artifacts: dict[str, Artifact], data: pa.Table, **options: object) -> pa.Table:
    config = score.Config.model_validate({"k": K, "precision": "float32", **options})
    return score.run(data, config, score.load(config, artifacts, Runtime()))


def check(row: SoftTargets, expected: npt.NDArray[np.float64], target: Sequence[str], tolerance: float) -> None:
    """One row against log-probabilities [T, V]: what is kept, what is not, and both together."""
    ids = row.topk_ids.astype(np.int64)
    np.testing.assert_array_equal(ids[:, 0], expected.argmax(axis=1))
    assert all(len(set(position)) == K for position in ids)
    kept = np.take_along_axis(expected, ids, axis=1)
    best = -np.sort(-expected, axis=1)[:, :K]
    np.testing.assert_allclose(kept, best, atol=tolerance)
    np.testing.assert_allclose(row.topk_log_probs, kept, rtol=1e-3, atol=tolerance)
    probabilities = np.exp(expected)
    tail = probabilities.sum(axis=1) - np.take_along_axis(probabilities, ids, axis=1).sum(axis=1)
    np.testing.assert_allclose(row.tail_log_mass, np.log(tail), rtol=1e-3, atol=tolerance)
    np.testing.assert_allclose(row.entropy, -(probabilities * expected).sum(axis=1), rtol=1e-3, atol=tolerance)
    forced = [VOCABULARY.index(token) if token in VOCABULARY else 0 for token in (*target, "</s>")]
    np.testing.assert_allclose(row.token_log_probs, expected[range(len(forced)), forced], rtol=1e-3, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_soft_targets_are_the_teachers_distribution(artifacts: dict[str, Artifact], backend: str) -> None:
    sources, targets = rows()
    result = run(artifacts, table(sources, targets), backend=backend)
    assert result.column("id").to_pylist() == [f"{number:032x}" for number in range(len(sources))]
    assert result.column("length").to_pylist() == [len(target) + 1 for target in targets]
    checkpoint = artifacts["teacher"].path() / "checkpoint.pt"
    for source, target, row in zip(sources, targets, unpack(result), strict=True):
        check(row, forced_log_probs(checkpoint, source, target), target, tolerance=2e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_language_tags_are_forced_but_not_scored(
    artifacts: dict[str, Artifact], tmp_path: Path, tiny_teacher: Path, backend: str
) -> None:
    folder = shutil.copytree(tiny_teacher, tmp_path / "tagged")
    tags = {"source_prefix": ("a30",), "source_suffix": ("</s>", "a31"), "target_prefix": ("a32", "a33")}
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update=tags))
    sources, targets = rows()
    tagged = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    for source, target, row in zip(
        sources, targets, unpack(run(tagged, table(sources, targets), backend=backend)), strict=True
    ):
        around = ["a30", *source, "</s>", "a31"]
        expected = forced_log_probs(tiny_teacher / "checkpoint.pt", around, target, prefix=["a32", "a33"])
        check(row, expected, target, tolerance=2e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_does_not_hang_on_its_batch(artifacts: dict[str, Artifact], backend: str) -> None:
    sources, targets = rows()
    together = unpack(run(artifacts, table(sources, targets), backend=backend))
    alone = unpack(run(artifacts, table(sources, targets), backend=backend, max_batch_tokens=1))
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.topk_ids, other.topk_ids)
        np.testing.assert_allclose(one.topk_log_probs, other.topk_log_probs, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(one.tail_log_mass, other.tail_log_mass, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tail_of_next_to_no_mass_is_summed_not_subtracted(artifacts: dict[str, Artifact], backend: str) -> None:
    sources, targets = rows()
    for row in unpack(run(artifacts, table(sources, targets), backend=backend, k=len(VOCABULARY) - 2)):
        # <s> and <blank> have a bias of -20: 1 minus the sum of the others would be 0 or noise in float32.
        assert (row.tail_log_mass < -14).all()
        assert (row.tail_log_mass > -30).all()
    sources, targets = sources[:1], targets[:1]
    whole = unpack(run(artifacts, table(sources, targets), backend=backend, k=len(VOCABULARY)))[0]
    np.testing.assert_allclose(np.exp(whole.topk_log_probs.astype(np.float64)).sum(axis=1), 1.0, atol=2e-3)
    assert (whole.tail_log_mass < -80).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_shards_of_nothing_but_empty_targets_and_of_nothing(artifacts: dict[str, Artifact], backend: str) -> None:
    assert run(artifacts, table([], []), backend=backend).num_rows == 0
    result = run(artifacts, table([["a1"] * 3000, [], ["a2"]], [[], [], []]), backend=backend)
    assert result.column("length").to_pylist() == [1, 1, 1]


def test_what_computed_them_is_told(artifacts: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path) -> None:
    info = load_teacher_info(tiny_teacher)
    data = table(*rows())
    told = SoftTargetFormat.of(run(artifacts, data).schema)
    assert (told.backend, told.compute_type, told.k) == ("torch", "float32", K)
    assert (told.vocabulary_digest, told.teacher_digest) == (info.vocabulary_digest, info.digest)
    assert (told.vocabulary_size, told.ids_dtype) == (len(VOCABULARY), "uint16")
    folder = shutil.copytree(tiny_teacher, tmp_path / "int8")
    (folder / "checkpoint.pt").unlink()
    save_teacher_info(folder, describe_model(folder, "ctranslate2").model_copy(update={"quantization": "int8"}))
    quantized = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    told = SoftTargetFormat.of(run(quantized, data).schema)
    assert (told.backend, told.compute_type) == ("ctranslate2", "int8_float32")


def test_a_flash_teacher_is_still_and_scores_as_the_plain_one(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    # On a GPU, OpenNMT-py's flash attention would drop at `dropout_p` in evaluation mode, too.
    folder = write_tiny_teacher(tmp_path / "flash", attention="scaled-dot-flash")
    info = load_teacher_info(folder)
    scorer = TorchScorer(folder, info, TargetVocabulary.read(folder), "cpu", "float32")
    parts = list(scorer._module.modules())
    assert {part.dropout_p for part in parts if hasattr(part, "dropout_p")} == {0.0}
    assert {part.self_attn_type for part in parts if getattr(part, "self_attn_type", None)} == {"scaled-dot"}
    flash = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    one, other = (run(each, table(*rows()), backend="torch") for each in (flash, artifacts))
    for name in ("topk_ids", "topk_log_probs", "tail_log_mass", "token_log_probs", "entropy"):
        assert one.column(name) == other.column(name)


def test_bfloat16_is_near(artifacts: dict[str, Artifact]) -> None:
    data = table(*rows())
    exact, near = (unpack(run(artifacts, data, precision=precision)) for precision in ("float32", "bfloat16"))
    differences = [
        np.abs(one.token_log_probs - other.token_log_probs).mean() for one, other in zip(exact, near, strict=True)
    ]
    assert 0 < np.mean(differences) < 0.1


def test_it_is_told_row_by_row_whether_the_reference_was_forced(artifacts: dict[str, Artifact]) -> None:
    data = table(*rows())
    metrics = ["reference", "chrf", "mbr-chrf", "reference", "score", "bleu", "chrf"]
    both = run(artifacts, data.set_column(data.schema.get_field_index("metric"), "metric", pa.array(metrics)))
    forced = ["reference" if metric == "reference" else "hypothesis" for metric in metrics]
    assert both["conditioning"].to_pylist() == forced
    assert score.count(both)["references"] == 2
    assert score.count(run(artifacts, data))["references"] == 0


def test_faults_between_teacher_and_options(artifacts: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path) -> None:
    data = table(*rows())
    with pytest.raises(ModelError, match=r"score\.k is 41, but the teacher's vocabulary has 40"):
        run(artifacts, data, k=41)
    folder = shutil.copytree(tiny_teacher, tmp_path / "plain")
    (folder / "checkpoint.pt").unlink()
    plain = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    with pytest.raises(ModelError, match="no OpenNMT-py"):
        run(plain, data, backend="torch")
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"device": "cuda"}))
    gpu = {**artifacts, "teacher": artifact_of_folder(tmp_path / "other", "teacher", folder)}
    with pytest.raises(ModelError, match="this worker has no GPU"):
        run(gpu, data)


def test_a_checkpoint_of_another_model_is_refused(
    artifacts: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path
) -> None:
    from tests.fixtures.tiny_teacher import write_tiny_checkpoint

    folder = shutil.copytree(tiny_teacher, tmp_path / "mixed")
    write_tiny_checkpoint(folder / "checkpoint.pt", shape=TinyShape(words=30))
    mixed = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    with pytest.raises(ModelError, match="not that of the CTranslate2 model"):
        run(mixed, table(*rows()), backend="torch")


def test_the_compact_encoding_says_the_same(artifacts: dict[str, Artifact]) -> None:
    data = table(*rows())
    exact, small = (run(artifacts, data, encoding=encoding) for encoding in ("exact", "compact"))
    assert score.count(exact) == score.count(small)
    for one, other in zip(unpack(exact), unpack(small), strict=True):
        np.testing.assert_array_equal(np.sort(one.topk_ids), np.sort(other.topk_ids))
        np.testing.assert_allclose(one.topk_log_probs, other.topk_log_probs, rtol=0.05, atol=0.05)
        np.testing.assert_allclose(one.token_log_probs, other.token_log_probs, rtol=0.01, atol=0.01)


def test_counters(artifacts: dict[str, Artifact]) -> None:
    sources, targets = rows()
    result = run(artifacts, table(sources, targets))
    views = unpack(result)
    counted = score.count(result)
    assert counted["tokens"] == sum(len(target) + 1 for target in targets)
    masses = [np.exp(view.topk_log_probs.astype(np.float64)).sum() for view in views]
    assert counted["kept_mass"] == pytest.approx(sum(masses), rel=1e-3)
    assert counted["entropy"] == pytest.approx(sum(view.entropy.astype(np.float64).sum() for view in views), rel=1e-3)
    assert score.count(run(artifacts, table([], [])))["tokens"] == 0
    with pytest.raises(DataError, match=r"metadata lacks potstill\.notes"):
        score.count(result.replace_schema_metadata(None))
