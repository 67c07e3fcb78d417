"""What the stages after decode make of translations that were given: without scores, and with soft targets for some."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data import schema
from data.errors import DataError
from data.join import join, join_by_role
from data.model_folder import TeacherInfo, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import Conditioning, SoftTargetFormat, pack, pack_nothing, unpack
from stages.filter import stage as filtering
from stages.fuse import stage as fuse
from stages.measure import stage as measure
from stages.pool import stage as pool
from stages.select import stage as select
from stages.student.nbest import NBestConfig, drawn
from tests.fixtures.artifacts import artifact_of_tables, closed, new_artifact

IDS = ["0" * 32, "1" * 32, "2" * 32]
TARGETS = [["un", "gat"], ["dos"], ["tres", "gats", "petits"]]
LENGTHS = [len(target) + 1 for target in TARGETS]
N, V, K = sum(LENGTHS), 12, 4
LANGUAGES = {"source_language": ["es"] * 3, "target_language": ["ca"] * 3}


def nbest(*rows: list[tuple[str, float | None]], teacher: str = "teacher") -> pa.Table:
    lists = [
        [{"tokens": text.split(), "text": text, "score": score, "teacher": teacher} for text, score in row]
        for row in rows
    ]
    return pa.table({"id": IDS[: len(rows)], "hypotheses": pa.array(lists, schema.NBEST.field("hypotheses").type)})


def soft_targets(*conditioning: Conditioning, seed: int = 1, entropy: bool = True, name: str = "teacher") -> pa.Table:
    probs = np.random.default_rng(seed).dirichlet(np.full(V, 0.5), size=N)
    ids = np.argsort(-probs, axis=1)[:, :K]
    top = np.take_along_axis(probs, ids, axis=1)
    return pack(
        row_ids=IDS,
        lengths=LENGTHS,
        conditioning=conditioning,
        topk_ids=ids,
        topk_log_probs=np.log(top),
        tail_log_mass=np.log(1 - top.sum(axis=1)),
        token_log_probs=np.log(probs[:, 0]),
        entropy=-(probs * np.log(probs)).sum(axis=1) if entropy else None,
        target_format=_format(name),
    )


def _format(name: str = "teacher", **more: Any) -> SoftTargetFormat:
    fields = {"k": K, "vocabulary_size": V, "ids_dtype": "uint16", "vocabulary_digest": "v", "backend": "given"}
    return SoftTargetFormat.model_validate(fields | {"teacher_digest": f"{name}'s", "compute_type": "unknown"} | more)


def _chosen(table: pa.Table, **config: Any) -> list[dict[str, Any]]:
    texts = {"source": ["x"] * table.num_rows, "reference": pa.array(["dos gats"] * table.num_rows)}
    whole = join([pa.table({"id": table["id"], **texts, "target_language": ["ca"] * table.num_rows}), table])
    settings = select.Config(**config)
    return select.run(whole, settings, select.load(settings, {}, Runtime())).to_pylist()  # type: ignore[no-any-return]


def test_without_scores_the_first_is_taken_where_scores_are_asked_for_and_that_is_told() -> None:
    table = nbest([("a", None), ("b", None)], [("c", -2.0), ("d", -1.0)], [("e", None), ("f", 0.0)])
    rows = _chosen(table, metric="score")
    assert [(row["target"], row["metric"], row["index"]) for row in rows] == [
        ("a", "order", 0),
        ("d", "score", 1),
        ("e", "order", 0),
    ]
    assert [row["utility"] for row in rows] == [[0.0, -1.0], [-2.0, -1.0], [0.0, -1.0]]
    assert [row["teacher_score"] for row in rows] == [None, -1.0, None]


def test_without_scores_likeness_chooses_as_ever_and_the_first_wins_a_tie() -> None:
    table = nbest([("res", None), ("dos gats", None)], [("tres", None), ("tres", None)], [("a", -1.0), ("a", None)])
    assert [row["index"] for row in _chosen(table, metric="chrf")] == [1, 0, 0]


def test_hypotheses_without_scores_are_not_taken_for_untranslated_ones() -> None:
    untranslated = schema.UNTRANSLATED_SCORE
    tables = {
        "decode": nbest([("", untranslated)], [("un", -0.5)], [("", untranslated)]),
        "decode_people": nbest([("u", None)], [("", untranslated)], [("", untranslated)], teacher="people"),
    }
    config = pool.Config(teachers=("teacher", "people"))
    found = pool.run(join_by_role(tables), config, pool.Resources()).column("hypotheses").to_pylist()
    assert [[one["text"] for one in row] for row in found] == [["u"], ["un"], [""]]


def test_weights_of_scores_that_are_missing_are_an_error_and_not_even() -> None:
    table = nbest([("a", None), ("b", -1.0)])
    whole = table.append_column("utility", pa.array([[10.0, 20.0]])).append_column("source", pa.array(["x"]))
    with pytest.raises(DataError, match=r"1 of 2 hypotheses were given without a score.*'utility'"):
        drawn(whole, 0, NBestConfig())
    assert drawn(whole, 0, NBestConfig(weights="utility", temperature=0.1))["target_tokens"].to_pylist() == [["b"]]


def test_a_row_without_soft_targets_among_others_with_some_is_rejected_under_any_policy(tmp_path: Path) -> None:
    measured = _measured(soft_targets("hypothesis", "unknown", "hypothesis", entropy=False))
    assert measured["log_prob_per_token"].is_null().to_pylist() == [False, True, False]
    assert measured["mean_entropy"].null_count == 3, "of entropy a teacher that is given tells nothing"
    assert measured["without_soft_targets"].to_pylist() == [False, True, False]
    assert measured["too_long_to_score"].to_pylist() == [False] * 3
    assert measure.count(measured)["without_soft_targets"] == 1
    assert _reasons(tmp_path, measured) == [[], ["without_soft_targets"], []]


def test_where_there_are_no_soft_targets_at_all_none_is_missing(tmp_path: Path) -> None:
    measured = _measured(pack_nothing(IDS, LENGTHS, _format(mode="none", k=0)))
    assert measured["log_prob_per_token"].null_count == measured["mean_entropy"].null_count == 3
    assert _reasons(tmp_path, measured) == [[], [], []]


def test_fused_is_what_is_known_and_of_what_nobody_knows_nothing(tmp_path: Path) -> None:
    given = soft_targets("unknown", "hypothesis", "unknown", seed=2, entropy=False, name="people")
    tables = {
        "corpus": pa.table({"id": IDS, **LANGUAGES}),
        "score": soft_targets("hypothesis", "hypothesis", "unknown"),
        "score_people": given,
    }
    config = fuse.Config(teachers=("teacher", "people"), k=K)
    artifacts = {"teacher": _info(tmp_path, "teacher"), "teacher_people": _info(tmp_path, "people")}
    table = fuse.run(join_by_role(tables), config, fuse.load(config, artifacts, Runtime()))
    assert table["conditioning"].to_pylist() == ["hypothesis", "hypothesis", "unknown"]
    alone, both, _ = (unpack(each) for each in (tables["score"], given, table))
    found = unpack(table)
    np.testing.assert_allclose(found[0].topk_log_probs, alone[0].topk_log_probs, rtol=3e-3)
    np.testing.assert_allclose(found[0].entropy, alone[0].entropy, rtol=3e-3)
    token = np.log((np.exp(alone[1].token_log_probs.astype(float)) + np.exp(both[1].token_log_probs.astype(float))) / 2)
    np.testing.assert_allclose(found[1].token_log_probs, token, rtol=3e-3)


def _info(root: Path, name: str) -> Any:
    made = new_artifact(root, "teacher" if name == "teacher" else f"teacher_{name}")
    sizes = {"source_vocabulary_size": V, "target_vocabulary_size": V, "parameters": 0}
    info = TeacherInfo(kind="given", vocabulary_digest="v", quantization="none", digest=f"{name}'s", **sizes)
    save_teacher_info(made.work_path(), info)
    return closed(made)


def _measured(soft: pa.Table) -> pa.Table:
    texts = [" ".join(target) for target in TARGETS]
    corpus = pa.table({"id": IDS, "source": texts, "reference": pa.array([None] * 3, pa.string()), **LANGUAGES})
    chosen = pa.table({"id": IDS, "target": texts, "target_tokens": TARGETS, "index": pa.array([0] * 3, pa.int32())})
    table = join([corpus, chosen, soft.select(["id", *measure.READS["score"]])])
    return measure.run(table, measure.Config(), measure.load(measure.Config(), {}, Runtime()))


def _reasons(folder: Path, measured: pa.Table) -> list[list[str]]:
    rules: dict[str, dict[str, float]] = {name: {} for name in filtering.Rules.model_fields}
    config = filtering.Config.model_validate({"rules": rules})
    verdicts = new_artifact(folder, "filter")
    given = artifact_of_tables(folder, "measure", {"train-00000": measured})
    filtering.run({"measure": given}, config, verdicts, Runtime())
    return closed(verdicts).read_shard("train-00000")["reasons"].to_pylist()  # type: ignore[no-any-return]
