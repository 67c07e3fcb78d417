"""Teacher forcing of a decoder-only model through CTranslate2: all positions in one pass, on the model's device."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np

from data.language_tags import Direction
from stages.loaded_model.engine import GeneratorEngine
from stages.loaded_model.model import TargetVocabulary, TeacherModel
from stages.score.soft_distribution import Kept, Wanted, keep, put, room

if TYPE_CHECKING:
    import torch
    from ctranslate2 import StorageView


class GeneratorScorer:
    """Scores batches with a loaded language model, over nothing but its own vocabulary."""

    def __init__(self, teacher: TeacherModel, engine: GeneratorEngine, vocabulary: TargetVocabulary) -> None:
        self._teacher, self._generator, self._vocabulary = teacher, engine.generator, vocabulary
        self.compute_type: str = engine.compute_type

    def toward(self, direction: Direction) -> Self:
        """The same model as it is asked in one direction."""
        asked = copy(self)
        asked._teacher = self._teacher.toward(direction)
        return asked

    def size(self, source: int, positions: int) -> tuple[int, ...]:
        """Both are one sequence."""
        return (source + positions,)

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], wanted: Wanted) -> Kept:
        """What is kept of all positions of a batch, row by row; a row has one more than its target has tokens.

        The first position of a target is what follows its prompt, the last is the end token.
        """
        import torch

        prompts = self._teacher.sources(sources)
        tokens = [[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)]
        logits = self._generator.forward_batch(tokens, return_log_probs=False)  # [B, S + T - 1, V]
        forced = torch.tensor(self._vocabulary.forced_ids(targets), device=self._generator.device)
        kept = room(len(forced), wanted)
        rows, start = _as_tensor(logits), 0
        for row, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
            span = slice(start, start + len(target) + 1)
            # A GPU may pad the vocabulary to a multiple of 8.
            steps = rows[row, len(prompt) - 1 : len(prompt) + len(target), : self._vocabulary.size]
            put(keep(steps, forced[span], wanted.of(span)), kept, span)
            start = span.stop
        return kept


def _as_tensor(logits: "StorageView") -> "torch.Tensor":
    """The same values as float32, where they lie."""
    import ctranslate2
    import torch

    if logits.dtype != ctranslate2.DataType.float32:
        logits = logits.to(ctranslate2.DataType.float32)
    return torch.as_tensor(logits, device="cuda") if logits.device == "cuda" else torch.from_numpy(np.asarray(logits))
