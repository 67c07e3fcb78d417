"""Whether a tokenizer belongs to a teacher: its subwords, and what a template spells, are the teacher's tokens."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import ModelError
from data.model_folder import TeacherInfo, load_teacher_info, read_vocabulary
from stages.loaded_model.prompt import encode_sources
from stages.text.marks import looks_special, split_at
from stages.text.own_models import marks_of
from stages.text.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

# Subwords that never occurred in the training data may have been left out of a model's vocabulary.
MOST_PIECES_MISSING = 0.01
# The same of a tokenizer that is known to be its own: with fewer, nearly every word is unknown.
_MOST_OF_ITS_OWN_MISSING = 0.9
# How toolkits write that a token is a part of a word.
_SUBWORD = re.compile(r"[▁Ġ￭].*|##.+|.+(?:@@|￭|</w>)", re.DOTALL)
# Of a vocabulary of words so many may look like subwords.
_MOST_SUBWORDS = 0.05


def check_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Raises ModelError when the tokenizer is another model's than the teacher's in a folder."""
    source, target = read_vocabulary(folder, "source"), read_vocabulary(folder, "target")
    if tokenizer.kind == "none":
        _check_words(source)
    sides = {"source": (tokenizer.source_pieces(), source), "target": (tokenizer.target_pieces(), target)}
    most = _MOST_OF_ITS_OWN_MISSING if tokenizer.is_teachers_own else MOST_PIECES_MISSING
    faults = [fault for side, (pieces, tokens) in sides.items() if (fault := _missing(side, pieces, tokens, most))]
    if faults:
        raise ModelError(
            f"the tokenizer does not belong to the teacher: {'; '.join(faults)}; set [tokenizer] to the model's own "
            "(kind = teacher, or kind = file with the files it was trained with; where its vocabulary was cut, "
            "belongs_to_teacher = true)"
        )
    _check_marks(tokenizer, folder)
    _check_template(tokenizer, load_teacher_info(folder), {*source, *target})


def _check_words(tokens: Sequence[str]) -> None:
    subwords = [token for token in tokens if _SUBWORD.fullmatch(token)]
    if len(subwords) > _MOST_SUBWORDS * len(tokens):
        raise ModelError(
            f"tokenizer.kind is none, which gives the teacher words, but {len(subwords)} of the {len(tokens)} tokens "
            f"of its vocabulary are parts of words, such as {', '.join(map(repr, subwords[:3]))}; set [tokenizer] to "
            "the model's own"
        )


def _check_marks(tokenizer: Tokenizer, folder: Path) -> None:
    """A text that spells a special token of the teacher's must not become it, whoever made the tokenizer."""
    strange = [mark for mark in marks_of(folder) if mark not in tokenizer.marks]
    found = [mark for mark, tokens in zip(strange, tokenizer.encode_source(strange), strict=True) if mark in tokens]
    if found:
        raise ModelError(
            f"the tokenizer makes special tokens of the teacher's of texts that spell them ({', '.join(found[:4])}), "
            "since it is not told that they are special; set [tokenizer] kind = 'teacher', which is"
        )


def _missing(side: str, pieces: Sequence[str], tokens: Sequence[str], most: float) -> str:
    known = set(tokens)
    missing = [piece for piece in pieces if piece not in known]
    examples = ", ".join(repr(piece) for piece in missing[:5])
    told = (
        f"{len(missing)} of its {len(pieces)} {side} subwords are not among the {len(tokens)} tokens of the teacher's "
        f"{side} vocabulary, such as {examples}"
    )
    if len(missing) > most * len(pieces):
        return told
    if missing:
        _log.warning("the tokenizer is taken for the teacher's, but %s: texts with them have unknown tokens", told)
    return ""


def _check_template(tokenizer: Tokenizer, info: TeacherInfo, vocabulary: set[str]) -> None:
    """A special token that a template spells must come out as one token, and not letter by letter."""
    if info.prompt is None:
        return
    around = f"{info.prompt.before} {info.prompt.after}"
    spelled = [token for token in {*vocabulary, *tokenizer.marks} if token in around and looks_special(token)]
    if not spelled:
        return
    (found,) = encode_sources([""], tokenizer, info.prompt)
    meant = [part for part, special in split_at(around, spelled) if special]
    for token in dict.fromkeys(meant):
        if found.count(token) < meant.count(token):
            raise ModelError(
                f"teacher.prompt: {token!r} is a token of the model's own, which this tokenizer spells in pieces "
                f"({' '.join(found[:8])} ...): the model would read another prompt than it was trained on; set "
                "[tokenizer] to one that knows it, such as the tokenizer.json beside the model"
            )
