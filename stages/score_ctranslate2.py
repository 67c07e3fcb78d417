"""Teacher forcing through CTranslate2: for any encoder-decoder teacher, one step after the other.

The hypothesis is given as target prefix to a greedy search that may return its logits; beam search returns none
(https://github.com/OpenNMT/CTranslate2/issues/1616) and is never used here.
"""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np

from data.errors import ModelError
from data.language_tags import Direction
from stages.engine import TranslatorEngine
from stages.soft_distribution import Kept, Wanted, keep, put, room, rows_at_once
from stages.teacher_model import TargetVocabulary, TeacherModel

if TYPE_CHECKING:
    from ctranslate2 import StorageView, TranslationResult


class CTranslate2Scorer:
    """Scores batches with a loaded CTranslate2 model."""

    def __init__(self, teacher: TeacherModel, engine: TranslatorEngine, vocabulary: TargetVocabulary) -> None:
        self._teacher, self._translator, self._vocabulary = teacher, engine.translator, vocabulary
        self._prefix = list(engine.target_prefix)
        self.compute_type: str = engine.compute_type

    def toward(self, direction: Direction) -> Self:
        """The same model as it is asked in one direction."""
        asked = copy(self)
        asked._teacher = self._teacher.toward(direction)
        asked._prefix = list(asked._teacher.info.target_prefix)
        return asked

    def size(self, source: int, positions: int) -> tuple[int, ...]:
        """Target first: a row that is shorter than its batch's longest is searched on for nothing."""
        return positions, source

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], wanted: Wanted) -> Kept:
        """What is kept of all positions of a batch, row by row; a row has one more than its target has tokens.

        Raises ModelError when the model does not return the logits that it was asked for.
        """
        import torch

        prefixes = [[*self._prefix, *target] for target in targets]
        results = self._translator.translate_batch(
            self._teacher.sources(sources),
            target_prefix=prefixes,
            beam_size=1,
            # The step after the longest prefix is taken, too; were it not, only the last row would come back.
            max_decoding_length=max(len(prefix) for prefix in prefixes) + 1,
            # The default, 1, takes </s> out of the first position's distribution.
            min_decoding_length=0,
            max_input_length=0,
            return_scores=True,
            return_logits_vocab=True,
        )
        pairs = zip(results, targets, strict=True)
        steps = [step for result, target in pairs for step in self._steps(result, len(target) + 1)]
        forced = torch.tensor(self._vocabulary.forced_ids(targets))
        kept = room(len(steps), wanted)
        # As they are, rows lie apart; a few at a time are put side by side, and not those of the whole batch.
        rows = rows_at_once(self._vocabulary.size)
        for start in range(0, len(steps), rows):
            span = slice(start, min(start + rows, len(steps)))
            logits = torch.from_numpy(self._matrix(steps[span]))
            put(keep(logits, forced[span], wanted.of(span)), kept, span)
        return kept

    def _steps(self, result: "TranslationResult", length: int) -> "list[StorageView]":
        """Logits of a row's T positions: those of the language tags before, and of what it made up after, left out."""
        steps: list[StorageView] = result.logits[0][len(self._prefix) : len(self._prefix) + length]
        if len(steps) < length:
            raise self._unusable(f"{len(steps)} rows of logits; expected {length}")
        return steps

    def _matrix(self, steps: "Sequence[StorageView]") -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        """Logits of some positions, [N, V]; a GPU may pad the vocabulary to a multiple of 8."""
        rows = [_on_host(step) for step in steps]
        if shorter := [len(row) for row in rows if len(row) < self._vocabulary.size]:
            raise self._unusable(f"rows of {shorter[0]} logits; expected {self._vocabulary.size}")
        return np.stack([row[: self._vocabulary.size] for row in rows])

    def _unusable(self, found: str) -> ModelError:
        return ModelError(f"CTranslate2 returned {found}: this model cannot be scored with score.backend = ctranslate2")


def _on_host(row: "StorageView") -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    import ctranslate2

    if row.dtype != ctranslate2.DataType.float32:
        row = row.to(ctranslate2.DataType.float32)
    return np.asarray(row.to_device(ctranslate2.Device.cpu)).reshape(-1)
