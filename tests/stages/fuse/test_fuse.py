"""The stage that fuses: what is stored of several teachers, against means of their full distributions."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.errors import ModelError
from data.join import join_by_role
from data.model_folder import TeacherInfo, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import Conditioning, FusedTeacher, SoftTargetFormat, pack, row_lengths, unpack
from stages.fuse import stage as fuse
from tests.fixtures.artifacts import closed, new_artifact

V, LENGTHS = 12, [2, 1, 4]
N = sum(LENGTHS)
IDS = [f"{number:032x}" for number in range(len(LENGTHS))]
Array = npt.NDArray[np.float64]


def full(seed: int) -> Array:
    return np.random.default_rng(seed).dirichlet(np.full(V, 0.5), size=N)


FULLS = {"teacher": full(1), "small": full(2)}
FORCED = np.arange(N) % V
FORCED_ON: tuple[Conditioning, ...] = ("hypothesis", "reference", "hypothesis")


def soft_targets(name: str, k: int, *, conditioning: tuple[Conditioning, ...] = FORCED_ON, **changes: Any) -> pa.Table:
    probs = FULLS[name]
    ids = np.argsort(-probs, axis=1)[:, :k]
    top = np.take_along_axis(probs, ids, axis=1)
    fields = {
        "k": k,
        "vocabulary_size": V,
        "ids_dtype": "uint16",
        "vocabulary_digest": "v",
        "teacher_digest": f"{name}'s",
        "compute_type": "float32",
        "backend": "torch",
    }
    return pack(
        row_ids=IDS,
        lengths=LENGTHS,
        conditioning=conditioning,
        topk_ids=ids,
        topk_log_probs=np.log(top),
        tail_log_mass=np.log(np.maximum(1 - top.sum(axis=1), 1e-30)),
        token_log_probs=np.log(probs[np.arange(N), FORCED]),
        entropy=-(probs * np.log(probs)).sum(axis=1),
        target_format=SoftTargetFormat.model_validate(fields | changes),
    )


def corpus(targets: list[str]) -> pa.Table:
    return pa.table({"id": IDS, "source_language": ["en"] * len(IDS), "target_language": targets})


def teachers(root: Path, **changes: dict[str, Any]) -> dict[str, Artifact]:
    """Folders that say what fuse must know."""
    found = {}
    for name, node in (("teacher", "teacher"), ("small", "teacher_small")):
        made = new_artifact(root, node)
        info = TeacherInfo(
            kind="train",
            source_vocabulary_size=V,
            target_vocabulary_size=V,
            vocabulary_digest="v",
            parameters=1,
            quantization="float32",
            digest=f"{name}'s",
        )
        save_teacher_info(made.work_path(), info.model_copy(update=changes.get(name, {})))
        found[node] = closed(made)
    return found


def fused(
    root: Path,
    *,
    stored: int = V,
    targets: tuple[str, ...] = ("de", "de", "de"),
    changes: Any = None,
    forced: tuple[tuple[Conditioning, ...], ...] = (FORCED_ON, FORCED_ON),
    **options: Any,
) -> pa.Table:
    config = fuse.Config(teachers=("teacher", "small"), **options)
    tables = {
        "corpus": corpus(list(targets)),
        "score": soft_targets("teacher", stored, conditioning=forced[0]),
        "score_small": soft_targets("small", stored, conditioning=forced[1]),
    }
    assert list(fuse.reads(config)) == list(tables)
    return fuse.run(join_by_role(tables), config, fuse.load(config, teachers(root, **(changes or {})), Runtime()))


def dense(table: pa.Table) -> Array:
    rows = unpack(table)
    result = np.zeros((N, V))
    ids, log_probs = (np.concatenate([getattr(row, name) for row in rows]) for name in ("topk_ids", "topk_log_probs"))
    np.put_along_axis(result, ids.astype(np.int64), np.exp(log_probs.astype(np.float64)), axis=1)
    return result


@pytest.mark.parametrize(("weights", "shares"), [({}, (0.5, 0.5)), ({"small": 3.0}, (0.25, 0.75))])
def test_with_all_entries_kept_it_is_the_mean(
    tmp_path: Path, weights: dict[str, float], shares: tuple[float, ...]
) -> None:
    table = fused(tmp_path, weights=weights)
    expected = shares[0] * FULLS["teacher"] + shares[1] * FULLS["small"]
    np.testing.assert_allclose(dense(table), expected, rtol=2e-3, atol=1e-5)
    assert row_lengths(table).tolist() == LENGTHS
    assert table.column("conditioning").to_pylist() == ["hypothesis", "reference", "hypothesis"]
    token = np.concatenate([row.token_log_probs for row in unpack(table)])
    np.testing.assert_allclose(token, np.log(expected[np.arange(N), FORCED]), rtol=2e-3)


def test_the_format_names_all_teachers_and_their_weights(tmp_path: Path) -> None:
    one, other = (SoftTargetFormat.of(fused(tmp_path / name, stored=3, weights={"small": 2.0}).schema) for name in "ab")
    assert one == other
    assert one.fused == (
        FusedTeacher(name="teacher", digest="teacher's", weight=1.0),
        FusedTeacher(name="small", digest="small's", weight=2.0),
    )
    assert (one.k, one.vocabulary_digest, one.backend) == (6, "v", "torch")
    assert one.teacher_digest != SoftTargetFormat.of(fused(tmp_path / "c", stored=3).schema).teacher_digest


def test_counters_are_those_of_score(tmp_path: Path) -> None:
    counted = fuse.count(fused(tmp_path, stored=4))
    assert set(counted) == {"tokens", "kept_mass", "entropy", "top1", "references", "too_long"}
    assert (counted["tokens"], counted["references"], counted["too_long"]) == (N, 1, 0)
    assert 0.5 * N < counted["kept_mass"] < N


def test_a_row_of_a_teachers_languages_carries_its_soft_targets_alone(tmp_path: Path) -> None:
    pairs = {"teacher": {"pairs": ("en-de",)}, "small": {"pairs": ("en-fr",)}}
    table = fused(tmp_path, stored=3, targets=("de", "fr", "de"), changes=pairs)
    assert SoftTargetFormat.of(table.schema).k == 3, "of each row one teacher alone kept anything"
    own = [unpack(soft_targets(name, 3))[row] for row, name in enumerate(("teacher", "small", "teacher"))]
    for found, expected in zip(unpack(table), own, strict=True):
        np.testing.assert_array_equal(found.topk_ids, expected.topk_ids)
        np.testing.assert_allclose(found.topk_log_probs, expected.topk_log_probs, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(found.tail_log_mass, expected.tail_log_mass, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(found.entropy, expected.entropy, rtol=2e-3)


def test_a_teacher_without_positions_for_a_row_has_no_say_in_it(tmp_path: Path) -> None:
    forced: Any = (("none", "reference", "none"), ("hypothesis", "reference", "none"))
    table = fused(tmp_path, forced=forced)
    assert table.column("conditioning").to_pylist() == ["hypothesis", "reference", "none"]
    first, second, _ = np.split(dense(table), np.cumsum(LENGTHS)[:-1])
    np.testing.assert_allclose(first, FULLS["small"][:2], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(second, (FULLS["teacher"][2:3] + FULLS["small"][2:3]) / 2, rtol=2e-3, atol=1e-5)
    counted = fuse.count(table)
    assert (counted["tokens"], counted["references"], counted["too_long"]) == (3, 1, 1)
    entropies = sum(row.entropy.astype(np.float64).sum() for row in unpack(table)[:2])
    assert counted["entropy"] == pytest.approx(entropies, rel=1e-3)


def test_what_teachers_of_other_languages_would_have_forced_does_not_count(tmp_path: Path) -> None:
    pairs = {"teacher": {"pairs": ("en-fr",)}, "small": {"pairs": ("en-de",)}}
    forced: Any = (FORCED_ON, ("hypothesis", "none", "hypothesis"))
    table = fused(tmp_path, targets=("de", "de", "sv"), changes=pairs, forced=forced)
    assert table.column("conditioning").to_pylist() == ["hypothesis", "none", "hypothesis"]
    assert fuse.count(table)["too_long"] == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(("en-de",), ("en-fr", "en-de"), ("en-de", "en-fr")), (("en-de",), (), ()), ((), (), ())],
)
def test_it_knows_the_pairs_that_some_teacher_is_for(
    tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    table = fused(tmp_path, stored=3, changes={"teacher": {"pairs": first}, "small": {"pairs": second}})
    assert SoftTargetFormat.of(table.schema).pairs == expected


def test_other_vocabularies_are_refused_before_the_first_row(tmp_path: Path) -> None:
    config = fuse.Config(teachers=("teacher", "small"))
    artifacts = teachers(tmp_path, small={"vocabulary_digest": "another"})
    with pytest.raises(ModelError, match=r"teachers\.small has a target vocabulary .*another.*soft_targets = false"):
        fuse.load(config, artifacts, Runtime())


def test_fewer_entries_may_be_asked_for(tmp_path: Path) -> None:
    whole, cut = fused(tmp_path / "whole", stored=4), fused(tmp_path / "cut", stored=4, k=2)
    assert (SoftTargetFormat.of(whole.schema).k, SoftTargetFormat.of(cut.schema).k) == (8, 2)
    for few, many in zip(unpack(cut), unpack(whole), strict=True):
        np.testing.assert_array_equal(few.topk_ids, many.topk_ids[:, :2])
