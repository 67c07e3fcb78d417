"""Teacher forcing through CTranslate2: for any encoder-decoder teacher, one step after the other."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Self

from data.language_tags import Direction
from stages.loaded_model.engine import TranslatorEngine
from stages.loaded_model.forced_logits import forced_steps, logits_matrix
from stages.loaded_model.model import TargetVocabulary, TeacherModel
from stages.score.soft_distribution import Kept, Wanted, keep, put, room, rows_at_once


class CTranslate2Scorer:
    """Scores batches with a loaded CTranslate2 model."""

    def __init__(self, teacher: TeacherModel, engine: TranslatorEngine, vocabulary: TargetVocabulary) -> None:
        self._teacher, self._engine, self._vocabulary = teacher, engine, vocabulary
        self.compute_type: str = engine.compute_type

    def toward(self, direction: Direction) -> Self:
        """The same model as it is asked in one direction."""
        asked = copy(self)
        asked._teacher = self._teacher.toward(direction)
        asked._engine = replace(self._engine, target_prefix=asked._teacher.info.target_prefix)
        return asked

    def size(self, source: int, positions: int) -> tuple[int, ...]:
        """Target first: a row that is shorter than its batch's longest is searched on for nothing."""
        return positions, source

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], wanted: Wanted) -> Kept:
        """What is kept of all positions of a batch, row by row; a row has one more than its target has tokens.

        Raises ModelError when the model does not return the logits that it was asked for.
        """
        import torch

        steps = forced_steps(self._engine, self._teacher.sources(sources), targets)
        forced = torch.tensor(self._vocabulary.forced_ids(targets))
        kept = room(len(steps), wanted)
        # As they are, rows lie apart; a few at a time are put side by side, and not those of the whole batch.
        rows = rows_at_once(self._vocabulary.size)
        for start in range(0, len(steps), rows):
            span = slice(start, min(start + rows, len(steps)))
            logits = torch.from_numpy(logits_matrix(steps[span], self._vocabulary.size))
            put(keep(logits, forced[span], wanted.of(span)), kept, span)
        return kept
