"""Raw logits of given targets through CTranslate2.

To an encoder-decoder model the target is given as prefix to a greedy search, step by step, which may return its
logits; beam search returns none (https://github.com/OpenNMT/CTranslate2/issues/1616) and is never used here. A
decoder-only model has all positions in one pass.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from stages.loaded_model.engine import Engine, GeneratorEngine, TranslatorEngine

if TYPE_CHECKING:
    from ctranslate2 import StorageView


def forced_logits(
    engine: Engine, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], vocabulary_size: int
) -> npt.NDArray[np.float32]:
    """[N, V]: logits of all positions of a batch, row by row; a row has one more than its target has tokens.

    `sources` are tokens with all that the model wants around them, `targets` tokens alone, with an end to follow.
    Raises ModelError when the model does not return them.
    """
    if isinstance(engine, GeneratorEngine):
        return _continued_logits(engine, sources, targets, vocabulary_size)
    if isinstance(engine, TranslatorEngine):
        return logits_matrix(forced_steps(engine, sources, targets), vocabulary_size)
    raise TypeError(f"{type(engine).__name__} is no engine of CTranslate2")


def forced_steps(
    engine: TranslatorEngine, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]
) -> "list[StorageView]":
    """The same of an encoder-decoder model, N of them, where they were computed; `logits_matrix` brings them here."""
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


def _continued_logits(
    engine: GeneratorEngine,
    prompts: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    vocabulary_size: int,
) -> npt.NDArray[np.float32]:
    pairs = list(zip(prompts, targets, strict=True))
    found = engine.generator.forward_batch([[*prompt, *target] for prompt, target in pairs], return_log_probs=False)
    logits = _values(found)  # [B, prompt + target, V]
    # The first position of a target is what follows its prompt.
    rows = [
        logits[row, len(prompt) - 1 : len(prompt) + len(target), :vocabulary_size]
        for row, (prompt, target) in enumerate(pairs)
    ]
    return np.concatenate(rows)


def _on_host(row: "StorageView") -> npt.NDArray[np.float32]:
    return _values(row).reshape(-1)


def _values(view: "StorageView") -> npt.NDArray[np.float32]:
    import ctranslate2

    if view.dtype != ctranslate2.DataType.float32:
        view = view.to(ctranslate2.DataType.float32)
    return np.asarray(view.to_device(ctranslate2.Device.cpu))


def _unusable(found: str) -> ModelError:
    return ModelError(f"CTranslate2 returned {found}: targets cannot be forced on this model")
