"""Soft targets of the dataset as a batch carries them: ids of the student's vocabulary."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import DataError, ModelError
from data.model_folder import vocabulary_digest
from data.soft_targets import SoftTargetFormat, row_lengths, topk
from stages.training.vocabulary import Vocabulary, student_ids

COLUMNS = ("id", "length", "topk_ids", "topk_ids_high", "topk_log_probs", "tail_log_mass")


class SoftTargetColumns:
    """Reads soft targets made by a teacher with the target vocabulary `teacher_tokens`."""

    def __init__(self, teacher_tokens: Sequence[str], vocabulary: Vocabulary) -> None:
        self._digest = vocabulary_digest(teacher_tokens)
        self._ids = student_ids(teacher_tokens, vocabulary)

    def read(self, table: pa.Table) -> dict[str, npt.NDArray[Any]]:
        """Of N positions, row after row: kd_ids [N, K], kd_log_probs [N, K], kd_tail [N]; see `objective.SoftTargets`.

        Raises ModelError when they are of another vocabulary, DataError when they do not fit the target's tokens.
        """
        target_format = SoftTargetFormat.of(table.schema)
        if target_format.vocabulary_digest != self._digest:
            raise ModelError(
                f"the soft targets were made with the target vocabulary {target_format.vocabulary_digest}, and this "
                f"teacher's is {self._digest}: their ids mean other tokens; score again with this teacher"
            )
        _check_lengths(table)
        ids, log_probs, tail = topk(table)
        return {"kd_ids": self._ids[ids], "kd_log_probs": log_probs, "kd_tail": tail}


def _check_lengths(table: pa.Table) -> None:
    tokens = np.asarray(pc.list_value_length(table["target_tokens"]).to_numpy(), dtype=np.int64)
    differs = np.flatnonzero(tokens + 1 != row_lengths(table))
    if len(differs):
        row = int(differs[0])
        raise DataError(
            f"soft targets of {row_lengths(table)[row]} positions; expected {tokens[row] + 1}, the target's tokens and "
            "</s>: they belong to another target; score again",
            row_id=table["id"][row].as_py(),
        )
