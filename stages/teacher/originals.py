"""The model that was converted, in the library that it was made for: what CTranslate2's computations are held to."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from stages.teacher.sources import CONVERSION_ERRORS

if TYPE_CHECKING:
    import torch


class Original(Protocol):
    """A model in float32 on the CPU. Ids are those of the converted model's vocabularies."""

    # Of a source and a target together, or of either where a model has two sides; None where any number goes.
    most_positions: int | None

    def logits(self, source: Sequence[int], begin: Sequence[int], target: Sequence[int]) -> npt.NDArray[np.float32]:
        """[T + 1, rows]: logits of a target after `begin`, the tokens that every target begins with.

        Of a decoder-only model, `source` is its prompt. Rows may be more than the converted vocabulary has.
        """


class HubModel:
    """A model of the library transformers."""

    def __init__(self, local: Path, *, decoder_only: bool) -> None:
        """Raises ModelError when the library cannot load it."""
        import torch
        import transformers

        kind = transformers.AutoModelForCausalLM if decoder_only else transformers.AutoModelForSeq2SeqLM
        try:
            loaded, found = kind.from_pretrained(
                str(local), dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
        except CONVERSION_ERRORS as error:
            raise ModelError(f"{local}: transformers cannot load it to compare with: {error}") from error
        if drawn := sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])]):
            raise ModelError(
                f"{local}: {len(drawn)} weights of the model are not in its files, such as {', '.join(drawn[:3])}: "
                "transformers would draw them at random; fetch the model again, or name one that is whole"
            )
        self._model: Any = loaded.eval()
        self._decoder_only = decoder_only
        names = ("max_position_embeddings", "n_positions", "max_seq_len")
        told = [getattr(self._model.config.get_text_config(decoder=True), name, None) for name in names]
        self.most_positions: int | None = min((number for number in told if number), default=None)
        generation = getattr(self._model, "generation_config", None)
        starts = [getattr(config, "decoder_start_token_id", None) for config in (generation, self._model.config)]
        self._start = [start for start in starts if start is not None][:1]

    def logits(self, source: Sequence[int], begin: Sequence[int], target: Sequence[int]) -> npt.NDArray[np.float32]:
        """As Original says."""
        import torch

        try:
            with torch.inference_mode():
                if self._decoder_only:
                    logits = self._model(input_ids=torch.tensor([[*source, *target]]), use_cache=False).logits[0]
                else:
                    given = torch.tensor([[*self._start, *begin, *target]])
                    logits = self._model(input_ids=torch.tensor([list(source)]), decoder_input_ids=given).logits[0]
        except (*CONVERSION_ERRORS, AssertionError) as error:
            raise ModelError(f"the original cannot be run in transformers to compare with: {error}") from error
        return _last(logits, len(target) + 1)


class OpenNMTModel:
    """A checkpoint of OpenNMT-py."""

    def __init__(self, checkpoint: Path, begin: str = "") -> None:
        """Raises ModelError when OpenNMT-py cannot load it."""
        from stages.training.checkpoint import load_model
        from stages.training.model import LANGUAGE_MODEL
        from stages.training.vocabulary import BEGIN

        self.most_positions: int | None = None
        loaded = load_model(checkpoint, "cpu")
        self._module, self._decoder_only = loaded.module, loaded.options.model_task == LANGUAGE_MODEL
        self._begin = loaded.target_vocabulary.tokens.index(begin or BEGIN)

    def logits(self, source: Sequence[int], begin: Sequence[int], target: Sequence[int]) -> npt.NDArray[np.float32]:
        """As Original says."""
        import torch

        module = self._module
        with torch.inference_mode():
            if self._decoder_only:
                tokens = torch.tensor([*source, *target])[None, :, None]
                states, _ = module(tokens, None, torch.tensor([tokens.shape[1]]))
            else:
                # The last token of a target is what OpenNMT-py cuts off before it reads it.
                given = torch.tensor([self._begin, *begin, *target, 0])[None, :, None]
                read = torch.tensor(list(source))[None, :, None]
                states, _ = module(read, given, torch.tensor([len(source)]))
            return _last(module.generator(states[0]), len(target) + 1)


def _last(logits: "torch.Tensor", positions: int) -> npt.NDArray[np.float32]:
    return np.asarray(logits[-positions:].float().cpu().numpy())
