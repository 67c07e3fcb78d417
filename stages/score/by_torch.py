"""Teacher forcing through PyTorch: for a teacher with an OpenNMT-py checkpoint, all positions at once."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from data.errors import ModelError
from data.language_tags import Direction
from data.model_folder import CHECKPOINT_FILE, TeacherInfo, special_token
from stages.loaded_model.model import TargetVocabulary
from stages.score.soft_distribution import Kept, Wanted, keep, put, room

if TYPE_CHECKING:
    import torch

# Of OpenNMT-py's vocabularies.
UNKNOWN, PADDING = "<unk>", "<blank>"
# Logits that are in memory at once, on whatever device: 32 MiB of them in bfloat16.
_LOGITS_AT_ONCE = 1 << 24


class TorchScorer:
    """Scores batches with the weights of an OpenNMT-py checkpoint."""

    def __init__(
        self,
        folder: Path,
        info: TeacherInfo,
        vocabulary: TargetVocabulary,
        device: str,
        precision: Literal["float32", "bfloat16"],
    ) -> None:
        """Reads the folder's checkpoint; raises ModelError when its vocabulary is not the converted model's."""
        from stages.training.checkpoint import load_model

        model = load_model(folder / CHECKPOINT_FILE, device)
        if list(model.target_vocabulary.tokens) != list(vocabulary.tokens):
            raise ModelError(
                f"{folder / CHECKPOINT_FILE}: its target vocabulary is not that of the CTranslate2 model beside it, so "
                "its soft targets would have other ids: make both from one checkpoint, or score with "
                "score.backend = ctranslate2"
            )
        self._module = model.module
        self._info, self._vocabulary, self._device = info, vocabulary, device
        self._source_ids = {token: number for number, token in enumerate(model.source_vocabulary.tokens)}
        self._start = special_token(folder, "decoder_start_token")
        self.compute_type: str = precision
        self._bfloat16 = precision == "bfloat16"
        if self._bfloat16:
            _round_matrices(self._module)

    def toward(self, direction: Direction) -> Self:
        """The same model as it is asked in one direction."""
        asked = copy(self)
        asked._info = self._info.toward(direction)
        return asked

    def size(self, source: int, positions: int) -> tuple[int, ...]:
        """Target first: a row that is shorter than its batch's longest is computed on for nothing."""
        return positions, source

    def score(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], wanted: Wanted) -> Kept:
        """What is kept of all positions of a batch, row by row; a row has one more than its target has tokens."""
        import torch

        source, lengths = self._source(sources)
        target, scored = self._target(targets)
        forced = torch.tensor(self._vocabulary.forced_ids(targets), device=self._device)
        kept = room(len(forced), wanted)
        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            states, _ = self._module(source, target, lengths)
            # Position by position from here: logits of a whole batch, [B, T, V], would be gigabytes.
            states = states[scored]
            step = max(_LOGITS_AT_ONCE // self._vocabulary.size, 1)
            for start in range(0, len(states), step):
                span = slice(start, min(start + step, len(states)))
                put(keep(self._module.generator(states[span]), forced[span], wanted.of(span)), kept, span)
        return kept

    def _source(self, sources: Sequence[Sequence[str]]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Ids [B, S, 1], padded, and lengths [B]."""
        import torch

        unknown, padding = self._source_ids[UNKNOWN], self._source_ids[PADDING]
        rows = [[*self._info.source_prefix, *tokens, *self._info.source_suffix] for tokens in sources]
        ids = [[self._source_ids.get(token, unknown) for token in row] for row in rows]
        lengths = torch.tensor([len(row) for row in ids], device=self._device)
        return _padded(ids, padding).to(self._device)[:, :, None], lengths

    def _target(self, targets: Sequence[Sequence[str]]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Ids [B, T + 1, 1] of what is forced, padded, and which of the T steps [B, T] are scored."""
        import torch

        before = [self._start, *self._info.target_prefix]
        ids = [self._vocabulary.ids_of([*before, *tokens, self._vocabulary.end]) for tokens in targets]
        # The model predicts the token after each but the last, so step t is scored from the last of `before` on.
        steps = torch.arange(max(len(row) for row in ids) - 1)
        ends = torch.tensor([len(row) - 1 for row in ids])
        scored = (steps >= len(before) - 1) & (steps < ends[:, None])
        padding = self._vocabulary.ids[PADDING]
        return _padded(ids, padding).to(self._device)[:, :, None], scored.to(self._device)


def _round_matrices(module: "torch.nn.Module") -> None:
    """Holds matrices as autocast would make them anew for every batch: products are the same to the last bit."""
    import torch

    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            # Where a matrix is an embedding, too, that one stays as it is.
            layer.weight = torch.nn.Parameter(layer.weight.detach().to(torch.bfloat16), requires_grad=False)


def _padded(rows: Sequence[Sequence[int]], padding: int) -> "torch.Tensor":
    """Rows of any length as one tensor [B, longest]."""
    import torch

    result = torch.full((len(rows), max(len(row) for row in rows)), padding, dtype=torch.long)
    for number, row in enumerate(rows):
        result[number, : len(row)] = torch.tensor(row, dtype=torch.long)
    return result
