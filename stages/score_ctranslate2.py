"""Teacher forcing through CTranslate2: for any teacher, one step after the other.

The hypothesis is given as target prefix to a greedy search that may return its logits; beam search returns none
(https://github.com/OpenNMT/CTranslate2/issues/1616) and is never used here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ModelError
from stages.soft_distribution import Kept, keep
from stages.teacher_model import TargetVocabulary, TeacherModel

if TYPE_CHECKING:
    import torch
    from ctranslate2 import StorageView, TranslationResult


class CTranslate2Scorer:
    """Scores batches with a loaded CTranslate2 model."""

    def __init__(self, teacher: TeacherModel, vocabulary: TargetVocabulary) -> None:
        self._teacher, self._vocabulary = teacher, vocabulary
        self._prefix = list(teacher.info.target_prefix)
        self.compute_type: str = teacher.translator.compute_type

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], k: int) -> Kept:
        """What is kept of all positions of a batch, row by row; a row has one more than its target has tokens.

        Raises ModelError when the model does not return the logits that it was asked for.
        """
        import torch

        prefixes = [[*self._prefix, *target] for target in targets]
        results = self._teacher.translator.translate_batch(
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
        logits = torch.cat([self._positions(result, len(target) + 1) for result, target in pairs])
        return keep(logits, torch.tensor(self._vocabulary.forced_ids(targets)), k)

    def _positions(self, result: "TranslationResult", length: int) -> "torch.Tensor":
        """Logits [T, V] of a row: those of the language tags before, and of what it made up after, are left out."""
        import torch

        steps = result.logits[0][len(self._prefix) : len(self._prefix) + length]
        logits = np.stack([_on_host(step) for step in steps]) if steps else np.empty((0, 0), np.float32)
        if len(logits) < length or logits.shape[1] < self._vocabulary.size:
            raise ModelError(
                f"CTranslate2 returned logits of shape {list(logits.shape)}; expected [{length}, "
                f"{self._vocabulary.size}]: this model cannot be scored with score.backend = ctranslate2"
            )
        # A GPU may pad the vocabulary to a multiple of 8.
        return torch.from_numpy(logits[:, : self._vocabulary.size])


def _on_host(row: "StorageView") -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    import ctranslate2

    if row.dtype != ctranslate2.DataType.float32:
        row = row.to(ctranslate2.DataType.float32)
    return np.asarray(row.to_device(ctranslate2.Device.cpu)).reshape(-1)
