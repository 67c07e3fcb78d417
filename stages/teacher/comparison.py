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
from data.model_folder import MODEL_FILE, TeacherInfo, read_vocabulary, special_token
from stages.languages.directions import some_direction
from stages.loaded_model.engine import open_engine
from stages.loaded_model.forced_logits import forced_logits
from stages.loaded_model.model import positions_of
from stages.teacher.originals import Original
from stages.teacher.rounding import check_rounding

# Nats by which float32 on both sides may differ, where the original gives a token more than e^-20, and what is added
# for each unit of the largest logit: rounding of a deep model is a tenth of it, another formula a hundred times more.
TOLERANCE, _ROUNDING = 0.01, 1e-4
_SAID_AT_ALL = -20.0
# Least correlation of a model's logits in 8 or 16 bits with those in 32.
LEAST_AGREEMENT = 0.5
_SAYS_NOTHING = 1e-6
# Tokens of a source and of a target: of each sentence, and of the long one; fewer where there are no more positions.
_SIZES = ((24, 24), (12, 12), (6, 6), (2, 2))
_LONG_SIZES = ((256, 64), (192, 48), (96, 24), (48, 12), *_SIZES)
# Tokens of a source and of a target, with nothing around them.
Pair = tuple[Sequence[str], Sequence[str]]
SENTENCES = (
    "The quick brown fox jumps over 12 lazy dogs, doesn't it?",
    "Hello World",
    "Größe: 3,5 % – «naïve» façade",
    "Это предложение написано по-русски.",
    "今天天气很好。",
)


def check_arithmetic(original: Original, folder: Path, info: TeacherInfo, sentences: Sequence[Pair]) -> float:
    """Forces targets behind sources, both as tokens with nothing around them, through both models.

    `folder` holds the model in float32. Returns the largest difference in nats; raises ModelError when it is more than
    rounding explains.
    """
    forced = Forced(folder, info, exact=True)
    sides = _Ids(folder, "source"), _Ids(folder, "target")
    differences, allowed = [0.0], 0.0
    for tokens, target in _cases(forced, sentences, original.most_positions):
        found = forced.logits(tokens, target)
        source, asked = forced.source(tokens), forced.asked
        begin = () if asked.architecture == "decoder-only" else asked.target_prefix
        expected = original.logits(sides[0].of(source), sides[1].of(begin), sides[1].of(target))
        expected = expected[:, : found.shape[1]]
        allowed = max(allowed, TOLERANCE + _ROUNDING * float(np.abs(expected).max()))
        differences.append(_difference(found, expected))
    worst = float(np.max(differences))  # which is NaN where one of them is
    if not worst <= allowed:
        raise ModelError(
            f"the converted model computes something else than its original: log-probabilities of the same tokens, in "
            f"float32, differ by up to {worst:.2f} nats, of which rounding explains less than {allowed:.2f}. "
            "CTranslate2 lacks a part of this model, or the tokens that its sources and targets begin and end with are "
            "not those that it was trained with: name another model"
        )
    return worst


def check_handed_on(
    folder: Path, info: TeacherInfo, exact: Path | None, sentences: Sequence[Pair], device: str
) -> float | None:
    """The model as it will be used, in the type and, as far as it is here, on the device that it will be used on.

    Held to `exact`, the same model in float32: each weight is that but for rounding, and logits correlate, of which
    what hangs on the text alone is looked at; that is returned, and is 0.98 and more in 8 bits. Without `exact` it has
    but to say numbers at all, and None is returned. Raises ModelError.
    """
    if exact:
        check_rounding(folder / MODEL_FILE, exact / MODEL_FILE)
    final, reference = Forced(folder, info, device=device), Forced(exact, info, exact=True) if exact else None
    pairs = [
        (final.logits(*case), reference.logits(*case) if reference else None) for case in _short(final, sentences, None)
    ]
    found = np.concatenate([one for one, _ in pairs])
    if not np.isfinite(found).all():
        raise ModelError(
            f"the model says no numbers when it computes in {info.quantization}: its weights or states are larger than "
            "the type holds, as those of T5 and Gemma are than float16; set teacher.quantization to bfloat16, int8 or "
            "float32"
        )
    if reference is None:
        return None
    agreement = _correlation(found, np.concatenate([other for _, other in pairs if other is not None]))
    if not agreement >= LEAST_AGREEMENT:
        raise ModelError(
            f"in {info.quantization} the model computes something else than in float32: its logits correlate by "
            f"{agreement:.2f}, expected {LEAST_AGREEMENT} at least; set teacher.quantization to another type"
        )
    return agreement


class Forced:
    """A model in a folder that targets are forced on."""

    def __init__(self, folder: Path, info: TeacherInfo, *, exact: bool = False, device: str = "cpu") -> None:
        """`exact`: in float32, else in its own type if the device has it. Raises ModelError when it does not load."""
        import ctranslate2

        self.asked = info.toward(some_direction(info))
        known = info.quantization in ctranslate2.get_supported_compute_types(device)
        compute_type = "float32" if exact else info.quantization if known else "default"
        try:
            self._engine = open_engine(
                folder, self.asked, device=device, compute_type=compute_type, replicas=1, threads=0
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"CTranslate2 cannot load what it made of this model: {error}; name another") from error
        self.positions = positions_of(folder, self.asked)
        self._size = len(read_vocabulary(folder, "target"))

    def source(self, tokens: Sequence[str]) -> list[str]:
        """With all that belongs around it."""
        return [*self.asked.source_prefix, *tokens, *self.asked.source_suffix]

    def logits(self, tokens: Sequence[str], target: Sequence[str]) -> npt.NDArray[np.float32]:
        """[T + 1, V]: logits at all positions of a target; raises ModelError when there are none."""
        try:
            return forced_logits(self._engine, [self.source(tokens)], [target], self._size)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"CTranslate2 cannot run what it made of this model: {error}; name another") from error


def _cases(model: Forced, sentences: Sequence[Pair], most: int | None) -> list[Pair]:
    """The beginning of each, and all of them in one: what is wrong with positions shows far from the beginning."""
    sources, targets = ([token for pair in sentences for token in pair[side]] for side in (0, 1))
    longest = max(size for pair in _LONG_SIZES for size in pair)
    repeated = [tokens * (longest // max(len(tokens), 1) + 1) for tokens in (sources, targets)]
    return [*_short(model, sentences, most), _that_fit(model, (repeated[0], repeated[1]), _LONG_SIZES, most)]


def _short(model: Forced, sentences: Sequence[Pair], most: int | None) -> list[Pair]:
    return [_that_fit(model, pair, _SIZES, most) for pair in sentences]


def _that_fit(model: Forced, pair: Pair, sizes: Sequence[tuple[int, int]], most: int | None) -> Pair:
    """As much of both as the model has positions for; `most`: its original."""
    around = len(model.source([])) + len(model.asked.target_prefix) + 1
    source, target = next(
        (size for size in sizes if model.positions.hold(*size) and (most is None or sum(size) + around <= most)), (1, 1)
    )
    return list(pair[0][:source]), list(pair[1][:target])


def _correlation(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Of two models' logits, [N, V], without what each position and each token has on average."""
    sides = []
    for logits in (found, expected):
        centred = logits - logits.mean(axis=1, keepdims=True)
        centred -= centred.mean(axis=0, keepdims=True)
        sides.append(centred.ravel())
    size = float(np.linalg.norm(sides[0])) * float(np.linalg.norm(sides[1]))
    # A model that says the same whatever it reads has nothing to tell.
    return float(np.dot(*sides)) / size if size > _SAYS_NOTHING * sides[0].size else 1.0


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
