"""Raw logits of given targets through CTranslate2: any encoder-decoder model, one step after the other.

The target is given as prefix to a greedy search that may return its logits; beam search returns none
(https://github.com/OpenNMT/CTranslate2/issues/1616) and is never used here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from stages.engine import TranslatorEngine

if TYPE_CHECKING:
    from ctranslate2 import StorageView


def forced_steps(
    engine: TranslatorEngine, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]
) -> "list[StorageView]":
    """Logits of all positions of a batch, row by row; a row has one more than its target has tokens, for the end.

    `sources` are tokens with all that the model wants around them, `targets` tokens alone. They lie where they were
    computed; `logits_matrix` takes them to the host. Raises ModelError when the model does not return them.
    """
    prefixes = [[*engine.target_prefix, *target] for target in targets]
    results = engine.translator.translate_batch(
        list(sources),
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
    # Those of language tags before, and of what a row made up after its end, are left out.
    skipped, steps = len(engine.target_prefix), []
    for result, target in zip(results, targets, strict=True):
        own = result.logits[0][skipped : skipped + len(target) + 1]
        if len(own) <= len(target):
            raise _unusable(f"{len(own)} rows of logits; expected {len(target) + 1}")
        steps += own
    return steps


def logits_matrix(steps: "Sequence[StorageView]", vocabulary_size: int) -> npt.NDArray[np.float32]:
    """Logits of some positions, [N, V]; a GPU may pad the vocabulary to a multiple of 8.

    Raises ModelError when there are fewer: CTranslate2 does not map those of a shortlist back.
    """
    rows = [_on_host(step) for step in steps]
    if shorter := [len(row) for row in rows if len(row) < vocabulary_size]:
        raise _unusable(f"rows of {shorter[0]} logits; expected {vocabulary_size}")
    return np.stack([row[:vocabulary_size] for row in rows])


def _on_host(row: "StorageView") -> npt.NDArray[np.float32]:
    import ctranslate2

    if row.dtype != ctranslate2.DataType.float32:
        row = row.to(ctranslate2.DataType.float32)
    return np.asarray(row.to_device(ctranslate2.Device.cpu)).reshape(-1)


def _unusable(found: str) -> ModelError:
    return ModelError(f"CTranslate2 returned {found}: targets cannot be forced on this model")
