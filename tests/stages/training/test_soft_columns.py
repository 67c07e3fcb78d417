"""Soft targets of a dataset, found again in a student's vocabulary of another order."""

import numpy as np
import pyarrow as pa

from data.model_folder import vocabulary_digest
from data.soft_targets import SoftTargetFormat, pack
from stages.training.soft_columns import SoftTargetColumns
from stages.training.vocabulary import Vocabulary

TEACHER = ["x", "</s>", "y", "<pad>", "z"]


def test_ids_name_the_same_tokens() -> None:
    ids = np.array([[4, 1], [0, 3], [1, 2]])
    log_probs = np.log([[0.5, 0.25], [0.5, 0.125], [0.75, 0.125]])
    table = pack(
        row_ids=["0" * 32, "1" * 32],
        lengths=[2, 1],
        topk_ids=ids,
        topk_log_probs=log_probs,
        tail_log_mass=np.log([0.25, 0.375, 0.125]),
        token_log_probs=log_probs[:, 0],
        entropy=np.ones(3),
        target_format=SoftTargetFormat(
            k=2,
            vocabulary_size=5,
            ids_dtype="uint16",
            vocabulary_digest=vocabulary_digest(TEACHER),
            teacher_digest="0",
            conditioning="hypothesis",
            compute_type="int8",
            backend="ctranslate2",
        ),
    ).append_column("target_tokens", pa.array([["z"], []], pa.list_(pa.string())))
    vocabulary = Vocabulary.from_tokens(TEACHER)

    soft = SoftTargetColumns(TEACHER, vocabulary).read(table)

    tokens = [[vocabulary.tokens[number] for number in row] for row in soft["kd_ids"]]
    assert tokens == [["z", "</s>"], ["x", "<pad>"], ["</s>", "y"]]
    np.testing.assert_allclose(soft["kd_log_probs"], log_probs, atol=1e-3)
    np.testing.assert_allclose(np.exp(soft["kd_tail"].astype(float)), [0.25, 0.375, 0.125], rtol=1e-3)
