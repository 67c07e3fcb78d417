"""Soft targets of a dataset, found again in a student's vocabulary of another order."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.drawn_targets import counted, pack_drawn
from data.errors import DataError
from data.model_folder import vocabulary_digest
from data.soft_targets import SoftTargetFormat, pack
from stages.training.batches.ragged import Ragged
from stages.training.batches.soft_columns import SoftTargetColumns, tail_key
from stages.training.vocabulary import Vocabulary

TEACHER = ["x", "</s>", "y", "<pad>", "z"]


LOG_PROBS = np.log([[0.5, 0.25], [0.5, 0.125], [0.75, 0.125]])


def target_format(**changes: Any) -> SoftTargetFormat:
    fields = {
        "k": 2,
        "vocabulary_size": 5,
        "ids_dtype": "uint16",
        "vocabulary_digest": vocabulary_digest(TEACHER),
        "teacher_digest": "0",
        "compute_type": "int8",
        "backend": "ctranslate2",
    }
    return SoftTargetFormat.model_validate({**fields, **changes})


def with_targets(soft: pa.Table) -> pa.Table:
    return soft.append_column("target_tokens", pa.array([["z"], []], pa.list_(pa.string())))


def packed(**changes: Any) -> pa.Table:
    tails = np.log([[0.5, 0.75], [0.25, 0.5], [0.125, 0.25]])
    kept = target_format(**changes)
    return with_targets(
        pack(
            row_ids=["0" * 32, "1" * 32],
            lengths=[2, 1],
            conditioning="hypothesis",
            topk_ids=np.array([[4, 1], [0, 3], [1, 2]]),
            topk_log_probs=LOG_PROBS,
            tail_log_mass=np.log([0.25, 0.375, 0.125]),
            tempered_tail_log_mass=tails[:, : len(kept.temperatures)],
            token_log_probs=LOG_PROBS[:, 0],
            entropy=np.ones(3),
            target_format=kept,
        )
    )


def drawn_table() -> pa.Table:
    return with_targets(
        pack_drawn(
            row_ids=["0" * 32, "1" * 32],
            lengths=[2, 1],
            conditioning="hypothesis",
            drawn=counted(np.array([[1, 1, 1, 1], [0, 2, 2, 4], [2, 2, 3, 3]])),
            token_log_probs=LOG_PROBS[:, 0],
            entropy=np.array([0.5, 1.0, 1.5]),
            target_format=target_format(mode="sampled", k=0, draws=4),
        )
    )


def test_ids_name_the_same_tokens() -> None:
    table = packed()
    vocabulary = Vocabulary.from_tokens(TEACHER)

    soft = SoftTargetColumns(TEACHER, vocabulary).read(table)

    tokens = [[vocabulary.tokens[number] for number in row] for row in soft["kd_ids"]]
    assert tokens == [["z", "</s>"], ["x", "<pad>"], ["</s>", "y"]]
    np.testing.assert_allclose(soft["kd_log_probs"], LOG_PROBS, atol=1e-3)
    np.testing.assert_allclose(np.exp(soft["kd_tail"].astype(float)), [0.25, 0.375, 0.125], rtol=1e-3)
    assert set(soft) == {"kd_ids", "kd_log_probs", "kd_tail"}


def test_tails_of_the_temperatures_that_are_asked_for_come_along() -> None:
    vocabulary = Vocabulary.from_tokens(TEACHER)
    table = packed(temperatures=[2.0, 4.0])
    soft = SoftTargetColumns(TEACHER, vocabulary, [4.0]).read(table)
    np.testing.assert_allclose(np.exp(soft[tail_key(4.0)].astype(float)), [0.75, 0.5, 0.25], rtol=1e-3)
    assert tail_key(2.0) not in soft
    with pytest.raises(DataError, match="exact at temperature 1, 2, 4 and not at 3"):
        SoftTargetColumns(TEACHER, vocabulary, [3.0]).read(table)
    with pytest.raises(DataError, match="exact at temperature 1 and not at 2"):
        SoftTargetColumns(TEACHER, vocabulary, [2.0]).read(drawn_table())


def test_drawn_entries_are_padded_in_a_batch_alone() -> None:
    vocabulary = Vocabulary.from_tokens(TEACHER)
    soft = SoftTargetColumns(TEACHER, vocabulary).read(drawn_table())
    # Rows of two and of one position, as the batch has them: the second row first.
    rows = Ragged(np.zeros(3, np.int32), np.array([0, 2]), np.array([2, 1]))
    batch = {name: rows.gathered(values, np.array([1, 0])) for name, values in soft.items()}
    assert batch["kd_counts"].tolist() == [[2, 2, 0], [4, 0, 0], [1, 2, 1]]
    tokens = [
        {vocabulary.tokens[number]: count for number, count in zip(ids, counts, strict=True) if count}
        for ids, counts in zip(batch["kd_ids"].tolist(), batch["kd_counts"].tolist(), strict=True)
    ]
    assert tokens == [{"y": 2, "<pad>": 2}, {"</s>": 4}, {"x": 1, "y": 2, "z": 1}]
    assert batch["kd_entropy"].tolist() == [1.5, 0.5, 1.0]
    assert rows.gathered(soft["kd_counts"], np.array([1])).tolist() == [[2, 2]]
