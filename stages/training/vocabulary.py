"""Vocabularies of a trained model, and how ids of the teacher's vocabulary are found in the student's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import ModelError

UNKNOWN, PADDING, BEGIN, END = "<unk>", "<blank>", "<s>", "</s>"
SPECIALS = (UNKNOWN, PADDING, BEGIN, END)  # in OpenNMT-py's order: their ids are 0, 1, 2, 3
UNKNOWN_ID, PADDING_ID, BEGIN_ID, END_ID = range(4)
# Between source and target of a language model that is trained here; no special of other models.
SEPARATOR = "<sep>"


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id; V of them, the specials first."""

    tokens: tuple[str, ...]

    @classmethod
    def from_tokens(cls, tokens: Sequence[str]) -> "Vocabulary":
        """The specials, then `tokens` in their order; a token that is there already keeps its first place."""
        return cls(tuple(dict.fromkeys((*SPECIALS, *tokens))))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _value_set(self) -> pa.Array:
        return pa.array(self.tokens, pa.string())

    def ids(self, tokens: pa.Array) -> npt.NDArray[np.int32]:
        """Ids [N] of a text's tokens [N]; <unk> for one that the vocabulary lacks, or that is spelled like a special.

        What a text says neither pads a sentence nor begins or ends it.
        """
        found = np.asarray(pc.index_in(tokens, value_set=self._value_set).fill_null(UNKNOWN_ID), dtype=np.int32)
        return np.where(found < len(SPECIALS), np.int32(UNKNOWN_ID), found)

    def meant(self, tokens: Sequence[str]) -> list[int]:
        """Ids of tokens that are put around a text, specials too; <unk> for one that the vocabulary lacks."""
        return [self.tokens.index(token) if token in self.tokens else UNKNOWN_ID for token in tokens]


def student_ids(teacher_tokens: Sequence[str], vocabulary: Vocabulary, end: str = END) -> npt.NDArray[np.int32]:
    """Student id of every teacher id, [V of the teacher], by token string; `end` is what ends the teacher's targets.

    A student's target ends with </s>. Where a teacher's ends with another token, both change places, so that no two
    ids become one. Raises ModelError when the student lacks a token of the teacher, or the teacher has no such end.
    """
    if end not in teacher_tokens:
        raise ModelError(f"the teacher's target vocabulary has no {end}: its soft targets cannot be learned from")
    places = {token: position for position, token in enumerate(vocabulary.tokens)}
    missing = [token for token in teacher_tokens if token not in places]
    if missing:
        raise ModelError(
            f"{len(missing)} of {len(teacher_tokens)} tokens of the teacher's target vocabulary "
            f"are not in the student's, "
            f"the first is {missing[0]!r}: build the student's vocabulary from this teacher's"
        )
    places[END], places[end] = places[end], places[END]
    return np.fromiter((places[token] for token in teacher_tokens), dtype=np.int32, count=len(teacher_tokens))
