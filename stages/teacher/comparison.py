"""A converted model against its original: the same tokens for a text, and the same log-probabilities.

A converter that drops a weight, or a library whose next version computes something else, would otherwise make a teacher
that translates, and badly, without a word.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from data.model_folder import TeacherInfo, read_vocabulary, special_token
from stages.languages.directions import some_direction
from stages.loaded_model.engine import open_engine
from stages.loaded_model.forced_logits import forced_logits
from stages.loaded_model.model import Positions, positions_of
from stages.teacher.originals import Original

# Nats by which float32 on both sides may differ, where the original gives a token more than e^-20: rounding of a deep
# model is a hundredth of it, another formula a hundred times as much.
TOLERANCE = 0.05
_SAID_AT_ALL = -20.0
# Of each sentence this many tokens at most: one pass is enough to tell.
_TOKENS = 24
SENTENCES = (
    "The quick brown fox jumps over 12 lazy dogs, doesn't it?",
    "Hello World",
    "Größe: 3,5 % – «naïve» façade",
    "Это предложение написано по-русски.",
    "今天天气很好。",
)


def check_arithmetic(
    original: Original,
    folder: Path,
    info: TeacherInfo,
    sentences: Sequence[tuple[Sequence[str], Sequence[str]]],
) -> float:
    """Forces targets behind sources, both as tokens with nothing around them, through both models.

    `folder` holds the model in float32. Returns the largest difference in nats; raises ModelError when it is more than
    rounding explains.
    """
    direction = some_direction(info)
    asked = info.toward(direction)
    try:
        engine = open_engine(folder, asked, device="cpu", compute_type="float32", replicas=1, threads=0)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"CTranslate2 cannot load what it made of this model: {error}; name another") from error
    positions = positions_of(folder, asked)
    sides = _Ids(folder, "source"), _Ids(folder, "target")
    worst = 0.0
    for tokens, target in sentences:
        read, forced = _that_fit(positions, tokens, target)
        source = [*asked.source_prefix, *read, *asked.source_suffix]
        found = forced_logits(engine, [source], [forced], len(sides[1].tokens))
        begin = () if asked.architecture == "decoder-only" else asked.target_prefix
        expected = original.logits(sides[0].of(source), sides[1].of(begin), sides[1].of(forced))
        worst = max(worst, _difference(found, expected[:, : len(sides[1].tokens)]))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"the converted model computes something else than its original: log-probabilities of the same tokens, in "
            f"float32, differ by up to {worst:.2f} nats, of which rounding explains less than {TOLERANCE}. CTranslate2 "
            "does not know all that this model does, or the tokens that its sources and targets begin and end with are "
            "not those that it was trained with: name another model"
        )
    return worst


def _that_fit(positions: Positions, tokens: Sequence[str], target: Sequence[str]) -> tuple[list[str], list[str]]:
    """As much of both as the model has positions for."""
    longest = next((many for many in (_TOKENS, _TOKENS // 2, _TOKENS // 4, 2) if positions.hold(many, many)), 1)
    return list(tokens[:longest]), list(target[:longest])


def _difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Largest, in nats; NaN where one computes none."""
    one, other = _log_softmax(found), _log_softmax(expected)
    said = np.maximum(one, other) > _SAID_AT_ALL
    return float(np.max(np.abs(one - other), where=said | np.isnan(one) | np.isnan(other), initial=0.0))


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    total: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return total


class _Ids:
    """The ids of one side's tokens in the converted model."""

    def __init__(self, folder: Path, side: Any) -> None:
        self.tokens = read_vocabulary(folder, side)
        self._ids = {token: number for number, token in reversed(list(enumerate(self.tokens)))}
        self._unknown = self._ids.get(special_token(folder, "unk_token"), 0)

    def of(self, tokens: Sequence[str]) -> list[int]:
        """Ids; that of the unknown token for those it lacks."""
        return [self._ids.get(token, self._unknown) for token in tokens]
