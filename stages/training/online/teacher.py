"""A teacher in memory while its student trains: frozen, and run once a batch for all terms that need it."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.errors import ModelError
from data.language_tags import SOURCE, TARGET, all_rendered, is_tagged
from data.model_folder import CHECKPOINT_FILE, TeacherInfo, load_teacher_info, special_token
from stages.training.checkpoint import load_model
from stages.training.model import Transformer
from stages.training.online.taps import Tap, Taps, shape_of, working
from stages.training.vocabulary import BEGIN, UNKNOWN_ID, Vocabulary


class OnlineTeacher:
    """Gives what it computes inside on a student's batches; learns nothing and draws no random number."""

    def __init__(
        self,
        model: Transformer,
        source: Vocabulary,
        target: Vocabulary,
        *,
        bfloat16: bool,
        start: str = BEGIN,
        pairs: Collection[str] = (),
        unused: Collection[str] = (),
    ) -> None:
        """`source`, `target`: the student's vocabularies. `start`: the token that the teacher's targets begin with.

        `pairs`: the language pairs that it is for, such as en-de; all where none is named. `unused`: tokens of the
        student's that no batch of these has. Raises ModelError when the teacher lacks another token of the student's
        or is no plain transformer.
        """
        self._module = model.module.eval().requires_grad_(False)
        self._device = next(model.module.parameters()).device
        self._source_ids = teacher_ids(source, model.source_vocabulary, "source", start, unused).to(self._device)
        self._target_ids = teacher_ids(target, model.target_vocabulary, "target", start, unused).to(self._device)
        self._bfloat16, self._pairs = bfloat16, frozenset(pairs)
        self.shape = shape_of(self._module)
        if bfloat16:
            _halve(self._module)
        self._taps = Taps(self._module)

    @classmethod
    def load(
        cls,
        folder: Path,
        source: Vocabulary,
        target: Vocabulary,
        device: str,
        *,
        bfloat16: bool,
        templates: Sequence[str] = (),
    ) -> "OnlineTeacher":
        """The teacher of a folder that has an OpenNMT-py checkpoint; raises ModelError when it cannot be used here.

        `templates`: of the tags before the student's sources, see `data.language_tags`.
        """
        info = load_teacher_info(folder)
        _check_tags(folder, info, templates)
        if not (folder / CHECKPOINT_FILE).is_file():
            raise ModelError(
                f"{folder}: no {CHECKPOINT_FILE}; the objective's online terms need a PyTorch teacher, of kind "
                "'train' or 'opennmt'"
            )
        model = load_model(folder / CHECKPOINT_FILE, device)
        start = special_token(folder, "decoder_start_token")
        unused = _tags_of_others(info, templates, source) if info.pairs else ()
        return cls(model, source, target, bfloat16=bfloat16, start=start, pairs=info.pairs, unused=unused)

    def is_for(self, pair: str) -> bool:
        """Whether it translates a language pair; without a name it is the recipe's only one."""
        return not (pair and self._pairs) or pair in self._pairs

    def collect(self, batch: dict[str, Any], wanted: Collection[Tap]) -> dict[Tap, Tensor]:
        """Runs over a student's batch, as much of itself as is needed; tensors that a gradient may be taken through."""
        self._taps.watch(wanted)
        source = self._source_ids[batch["src"]]
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            if any(tap.stack == "decoder" for tap in wanted):
                self._module(source, self._target_ids[batch["tgt"]], batch["srclen"])
            else:
                self._module.encoder(source, batch["srclen"])
        # Copies: tensors made in inference mode cannot be kept for a backward pass.
        return {tap: value.to(working(value), copy=True) for tap, value in self._taps.take().items()}


def _check_tags(folder: Path, info: TeacherInfo, templates: Sequence[str]) -> None:
    """The teacher reads a student's batches as they are, so it must want the same tags, and nothing else."""
    others = [name for name in ("source_suffix", "target_prefix") if getattr(info, name)]
    if info.source_prefix and not is_tagged(info.source_prefix):
        others.append("source_prefix")
    if others:
        raise ModelError(
            f"{folder}: the teacher wants {', '.join(others)} around each sentence, so its positions are not the "
            "student's and cannot be compared; leave out the objective's online terms, or take another teacher"
        )
    if tuple(info.source_prefix) != tuple(templates):
        raise ModelError(
            f"{folder}: the teacher reads {_told(info.source_prefix)} before each source, and the student "
            f"{_told(templates)}, so its positions are not the student's; set student.languages.tags to what the "
            "teacher has, or leave out the objective's online terms"
        )


def _tags_of_others(info: TeacherInfo, templates: Sequence[str], student: Vocabulary) -> list[str]:
    """The student's tags of languages that the teacher does not have, and is never shown."""
    known = set(all_rendered(templates, {language: language for language in info.language_names}))
    patterns = [re.escape(one).replace(re.escape(SOURCE), ".+").replace(re.escape(TARGET), ".+") for one in templates]
    return [
        token for token in student.tokens if token not in known and any(re.fullmatch(one, token) for one in patterns)
    ]


def _told(tags: Sequence[str]) -> str:
    return " ".join(tags) or "no tag"


def teacher_ids(
    student: Vocabulary, teacher: Vocabulary, side: str, start: str = BEGIN, unused: Collection[str] = ()
) -> Tensor:
    """Teacher's id of every id of the student's, [V], by token; `<s>` is the teacher's `start`.

    `unused`: tokens that no batch has which it is shown; it need not know them. Raises ModelError when the teacher
    lacks another token.
    """
    places = dict.fromkeys(unused, UNKNOWN_ID) | {token: number for number, token in enumerate(teacher.tokens)}
    wanted = [start if token == BEGIN else token for token in student.tokens]
    missing = [token for token in wanted if token not in places]
    if missing:
        raise ModelError(
            f"{len(missing)} of {len(wanted)} tokens of the student's {side} vocabulary are not in the teacher's, the "
            f"first is {missing[0]!r}: it cannot read the student's batches; online terms need one vocabulary for both"
        )
    return torch.tensor([places[token] for token in wanted])


def _halve(module: Any) -> None:
    """Keeps the stacks' matrices in bfloat16, in which they are multiplied anyway; embeddings and sums stay."""
    for part in [*module.encoder.modules(), *module.decoder.modules()]:
        if isinstance(part, torch.nn.Linear):
            part.to(torch.bfloat16)
