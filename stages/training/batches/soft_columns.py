"""Soft targets of the dataset as a batch carries them: ids of the student's vocabulary."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import drawn_targets
from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.model_folder import vocabulary_digest
from data.soft_targets import SoftTargetFormat, flat, row_lengths, tempered_tail, topk
from stages.training.batches.ragged import Ragged
from stages.training.batches.stream import Soft
from stages.training.row_counts import pair_rows
from stages.training.vocabulary import END, Vocabulary, student_ids

_OF_TOPK = ("topk_ids", "topk_ids_high", "topk_log_probs", "tail_log_mass", "tempered_tail_log_mass")
COLUMNS = ("id", "length", *_OF_TOPK, *drawn_targets.COLUMNS, "entropy")


def tail_key(temperature: float) -> str:
    """The name under which a batch carries the log-mass of the teacher's tail at this temperature."""
    return f"kd_tail_{temperature:g}"


class SoftTargetColumns:
    """Reads soft targets made by a teacher with the target vocabulary `teacher_tokens`."""

    def __init__(
        self,
        teacher_tokens: Sequence[str],
        vocabulary: Vocabulary,
        temperatures: Sequence[float] = (),
        *,
        end: str = END,
    ) -> None:
        """`temperatures`: those but 1 at which the teacher's whole distribution is tempered; `end`: its last token."""
        self._digest = vocabulary_digest(teacher_tokens)
        self._ids = student_ids(teacher_tokens, vocabulary, end)
        self._temperatures = tuple(temperatures)

    def read(self, table: pa.Table) -> dict[str, Soft]:
        """Of N positions, row after row, what `teacher_distribution.of_batch` finds in a batch.

        Of the most probable entries kd_ids [N, K], kd_log_probs [N, K], kd_tail [N] and the tail [N] at each of the
        temperatures; of drawn ones kd_ids and kd_counts, of as many entries as each position has, and kd_entropy [N].
        Raises ModelError when they are of another vocabulary, DataError when they do not fit the target's tokens or
        do not hold a temperature.
        """
        target_format = SoftTargetFormat.of(table.schema)
        if target_format.vocabulary_digest != self._digest:
            raise ModelError(
                f"the soft targets were made with the target vocabulary {target_format.vocabulary_digest}, and this "
                f"teacher's is {self._digest}: their ids mean other tokens; score again with this teacher"
            )
        _check_lengths(table)
        tails: dict[str, Soft] = {tail_key(each): tempered_tail(table, each) for each in self._temperatures}
        if target_format.mode == "sampled":
            return {**tails, **self._drawn(table)}
        ids, log_probs, tail = topk(table)
        return {**tails, "kd_ids": self._ids[ids], "kd_log_probs": log_probs, "kd_tail": tail}

    def is_for(self, schema: pa.Schema, pair: str) -> bool:
        """Whether some teacher was for this language pair when rows of it were scored."""
        return SoftTargetFormat.of(schema).is_for(pair)

    def of_dataset(self, dataset: Artifact) -> "SoftTargetColumns | None":
        """This, where some row of a dataset is of a pair that a teacher was for; else None: it knows targets alone."""
        names = dataset.shard_names()
        schema = dataset.read_shard(names[0], ["id"]).schema if names else None
        if schema is None or not SoftTargetFormat.of(schema).pairs:
            return self
        return self if any(self.is_for(schema, str(pair)) for pair in pair_rows(dataset)) else None

    def _drawn(self, table: pa.Table) -> dict[str, Soft]:
        found = drawn_targets.drawn(table)
        starts = np.cumsum(found.entries) - found.entries
        return {
            "kd_ids": Ragged(self._ids[found.ids], starts, found.entries),
            "kd_counts": Ragged(found.counts.astype(np.int32), starts, found.entries),
            "kd_entropy": flat(table, "entropy"),
        }


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
