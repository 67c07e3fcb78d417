"""Soft targets that came with translations: those of a whole distribution as far as it was told, or none at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data import schema
from data.errors import DataError, ModelError
from data.model_folder import TeacherInfo, model_digest, save_teacher_info, vocabulary_digest
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, flat, is_known, unpack
from stages.score import given, nothing
from tests.fixtures.artifacts import artifact_of_folder

TOKENS = ["<unk>", "<blank>", "<s>", "</s>", *(f"a{number}" for number in range(16))]
V = len(TOKENS)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _teacher(tmp_path_factory.mktemp("teacher"))


def test_they_are_the_most_probable_entries_with_the_mass_of_the_rest(teacher: Any) -> None:
    targets = [["a1", "a2", "a3"], [], ["a4"]]
    full = _distributions(targets)
    table = _run(teacher, [_row(target, log_probs) for target, log_probs in zip(targets, full, strict=True)], k=5)
    assert table.schema.equals(schema.SOFT_TARGETS)
    assert table["conditioning"].to_pylist() == ["hypothesis"] * 3
    for row, log_probs, target in zip(unpack(table), full, targets, strict=True):
        order = np.argsort(-log_probs, axis=1)[:, :5]
        np.testing.assert_array_equal(row.topk_ids, order)
        np.testing.assert_allclose(row.topk_log_probs, np.take_along_axis(log_probs, order, axis=1), rtol=1e-3)
        tail = np.exp(log_probs).sum(axis=1) - np.exp(np.take_along_axis(log_probs, order, axis=1)).sum(axis=1)
        np.testing.assert_allclose(np.exp(row.tail_log_mass.astype(np.float64)), tail, rtol=2e-3)
        forced = [TOKENS.index(token) for token in (*target, "</s>")]
        np.testing.assert_allclose(row.token_log_probs, log_probs[np.arange(len(forced)), forced], rtol=1e-3)
    assert not is_known(table, "entropy"), "of the rest no more is known than its mass"
    assert np.isnan(unpack(table)[0].entropy).all()
    with pytest.raises(DataError, match="entropy is empty: the teacher is given"):
        flat(table, "entropy")
    counts = given.count(table)
    assert (counts["tokens"], counts["unknown"]) == (4 + 1 + 2, 0)
    top1 = sum(
        int((full[place].argmax(1) == [TOKENS.index(t) for t in (*target, "</s>")]).sum())
        for place, target in enumerate(targets)
    )
    assert counts["top1"] == top1


def test_the_end_may_have_the_models_own_name(tmp_path: Path) -> None:
    tokens = [*TOKENS[:3], "<end>", *TOKENS[4:]]
    teacher = _teacher(tmp_path, tokens, end="<end>")
    (log_probs,) = _distributions([["a1"]])
    for end in ("</s>", "<end>"):
        row = _row(["a1"], log_probs, names=[*tokens[:3], end, *tokens[4:]])
        table = _run(teacher, [row], k=4)
        assert table["conditioning"].to_pylist() == ["hypothesis"]
        assert unpack(table)[0].token_log_probs[1] == pytest.approx(log_probs[1, 3], rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"log_probs": [None]}, given.NOT_GIVEN),
        ({"texts": ["another"]}, given.NOT_GIVEN),
        ({"metric": "reference"}, given.NOT_GIVEN),
        ({"tokens": [["a1", "a1"]]}, given.OTHER_TOKENS),
        ({"target_tokens": ["a1", "a2", "a3"]}, given.OTHER_TOKENS),
        ({"target_tokens": ["a1", "a15"], "tokens": [None]}, given.NO_CHOICE),
        ({"target_tokens": ["a1", "<unk>"], "tokens": [None]}, given.NO_CHOICE),
        ({"strange": "▁never"}, given.UNKNOWN_ENTRIES),
        ({"fewer": 2}, given.TOO_FEW),
    ],
)
def test_of_a_target_that_they_do_not_fit_nothing_is_said_and_why_is_counted(
    teacher: Any, changed: Any, why: str
) -> None:
    (log_probs,) = _distributions([["a1", "a2"]])
    whole, other = _row(["a1", "a2"], log_probs, most=10), _row(["a1", "a2"], log_probs, most=10)
    position = other["log_probs"][0][1]
    if "strange" in changed:
        position[9]["token"] = changed["strange"]
    elif "fewer" in changed:
        del position[changed["fewer"] :]
    else:
        other |= changed
    table = _run(teacher, [whole, other], k=5)
    assert table["conditioning"].to_pylist() == ["hypothesis", "unknown"]
    even = unpack(table)[1]
    np.testing.assert_allclose(even.topk_log_probs.astype(np.float64), -np.log(V), rtol=1e-3)
    counts = given.count(table)
    assert {name for name in (*_REASONS, "unknown") if counts[name]} == {why, "unknown"}
    assert counts["tokens"] == 3, "of the other none is"


_REASONS = (given.NOT_GIVEN, given.OTHER_TOKENS, given.UNKNOWN_ENTRIES, given.NO_CHOICE, given.TOO_FEW)


def test_rows_of_languages_that_it_is_not_for_are_as_those_of_other_teachers(tmp_path: Path) -> None:
    (log_probs,) = _distributions([["a1"]])
    rows = [_row(["a1"], log_probs), _row(["a1"], log_probs) | {"log_probs": [None], "target_language": "pt"}]
    table = _run(_teacher(tmp_path, pairs=("es-ca",)), rows, k=3)
    assert table["conditioning"].to_pylist() == ["hypothesis", "hypothesis"]
    assert SoftTargetFormat.of(table.schema).pairs == ("es-ca",)


def test_a_k_that_no_position_has_entries_for_is_told_with_one_that_all_have(teacher: Any) -> None:
    (log_probs,) = _distributions([["a1"]])
    with pytest.raises(DataError, match=r"score.k is 16, and no position has more than 6 entries.*set score.k = 6"):
        _run(teacher, [_row(["a1"], log_probs, most=5, also=True)], k=16)
    with pytest.raises(ModelError, match=r"score.k is 21, but the vocabulary has 20 entries"):
        _run(teacher, [], k=21)


def test_without_log_probabilities_there_are_lengths_and_no_soft_targets(teacher: Any) -> None:
    table = pa.table({"id": ["a", "b"], "target_tokens": [["a1"], []]})
    config = nothing.Config()
    found = nothing.run(table, config, nothing.load(config, {"teacher": teacher}, Runtime()))
    assert found.schema.equals(schema.SOFT_TARGETS)
    assert found["length"].to_pylist() == [2, 1]
    assert found["conditioning"].to_pylist() == ["unknown", "unknown"]
    assert SoftTargetFormat.of(found.schema).mode == "none"
    packed = [name for name in found.column_names if pa.types.is_binary(found.schema.field(name).type)]
    assert {found[name].null_count for name in packed} == {2}
    with pytest.raises(DataError, match="there are no soft targets: the translations were given without"):
        unpack(found)
    with pytest.raises(DataError, match="there are no soft targets"):
        flat(found, "token_log_probs")


def _teacher(folder: Path, tokens: list[str] = TOKENS, *, end: str = "", pairs: tuple[str, ...] = ()) -> Any:
    folder = folder / "files"
    folder.mkdir()
    for side in ("source", "target"):
        (folder / f"{side}_vocabulary.json").write_text(json.dumps(tokens))
    info = TeacherInfo(
        kind="given",
        pairs=pairs,
        source_vocabulary_size=V,
        target_vocabulary_size=V,
        vocabulary_digest=vocabulary_digest(tokens),
        parameters=0,
        quantization="none",
        end_token=end,
        digest=model_digest(folder),
    )
    save_teacher_info(folder, info)
    return artifact_of_folder(folder.parent / "store", "teacher", folder)


def _distributions(targets: list[list[str]]) -> list[Any]:
    """Log-probabilities [T, V] in float64, in which the forced token is not always the most probable one."""
    random = np.random.default_rng(2)
    found = []
    for target in targets:
        logits = 2.0 * random.standard_normal((len(target) + 1, V))
        for position, token in enumerate((*target, "</s>")):
            logits[position, TOKENS.index(token)] += 2.5
        logits[:, TOKENS.index("a15")] -= 20.0
        logits[:, 0] -= 20.0
        found.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    return found


def _row(
    target: list[str], log_probs: Any, *, most: int = V, also: bool = False, names: list[str] = TOKENS
) -> dict[str, Any]:
    """A row of corpus, select and given, as score reads it; `also`: the least probable entry beside the most."""
    positions = []
    for position in log_probs:
        order = [*np.argsort(-position)[:most], *([int(np.argmin(position))] if also else [])]
        positions.append([{"token": names[entry], "log_prob": float(position[entry])} for entry in order])
    return {
        "source_language": "es",
        "target_language": "ca",
        "target": " ".join(target) or "nothing",
        "target_tokens": target,
        "metric": "chrf",
        "texts": [" ".join(target) or "nothing"],
        "tokens": [target],
        "log_probs": [positions],
    }


def _run(teacher: Any, rows: list[dict[str, Any]], *, k: int) -> pa.Table:
    config = given.Config(k=k)
    loaded = given.load(config, {"teacher": teacher}, Runtime())
    fields = [pa.field(name, pa.string()) for name in ("id", "source_language", "target_language", "target", "metric")]
    fields += [pa.field("target_tokens", pa.list_(pa.string()))]
    fields += [schema.GIVEN.field(name) for name in ("texts", "tokens", "log_probs")]
    named = [{"id": str(place), **row} for place, row in enumerate(rows)]
    return given.run(pa.Table.from_pylist(named, pa.schema(fields)), config, loaded)
