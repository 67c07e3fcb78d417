"""Texts as ids of a model's vocabulary, by the numbers that a tokenizer's own model has for its subwords."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.errors import ModelError
from stages.training.batches.ragged import Ragged
from stages.training.batches.stream import TURN, Sampling
from stages.training.vocabulary import Vocabulary

# Texts at a time: between two calls another thread gets its turn.
_TEXTS = 256


class Numbers(Protocol):
    """A tokenizer's model that numbers its subwords."""

    @property
    def tokens(self) -> Sequence[str | None]:
        """The subword of each number; None where a text with it is to be encoded as subwords."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of each text's subwords."""


class Encoder(Protocol):
    """What is needed of `stages.text.tokenizer.Tokenizer`.

    It may have `source_numbers()` and `target_numbers()`, its models or None, which is quicker; and
    `sample_source(text, seed, alpha, nbest_size)`, for subword regularisation.
    """

    def encode_source(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each source."""

    def encode_target(self, texts: Sequence[str]) -> list[list[str]]:
        """Subwords of each target."""


class TextEncoder:
    """Ids of texts of one side."""

    def __init__(
        self,
        encode: Callable[[Sequence[str]], list[list[str]]],
        numbers: Numbers | None,
        vocabulary: Vocabulary,
    ) -> None:
        self._encode, self._numbers, self._vocabulary = encode, numbers, vocabulary
        self._known = None if numbers is None else _known(numbers.tokens, vocabulary)

    @classmethod
    def of_source(cls, encoder: Encoder, vocabulary: Vocabulary) -> "TextEncoder":
        """Of sources."""
        return cls(encoder.encode_source, _numbers_of(encoder, "source_numbers"), vocabulary)

    @classmethod
    def of_target(cls, encoder: Encoder, vocabulary: Vocabulary) -> "TextEncoder":
        """Of targets that are texts."""
        return cls(encoder.encode_target, _numbers_of(encoder, "target_numbers"), vocabulary)

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Ids of each text: those of the subwords that the tokenizer makes of it."""
        if self._numbers is None or self._known is None:
            return Ragged.of([row for part in _parts(texts) for row in self._encode(part)], self._vocabulary)
        rows = [row for part in _parts(texts) for row in self._numbers.encode(part)]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        numbers = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
        found = Ragged.packed(self._known[numbers], lengths)
        return self._spelled(found, texts)

    def _spelled(self, found: Ragged, texts: Sequence[str]) -> Ragged:
        """The same, with rows that have a subword without an id encoded as subwords."""
        missing = np.flatnonzero(found.flat < 0)
        if not len(missing):
            return found
        rows = np.unique(np.searchsorted(found.starts + found.lengths, missing, side="right"))
        others = Ragged.of(self._encode([texts[row] for row in rows.tolist()]), self._vocabulary)
        order = np.arange(len(found.lengths))
        order[rows] = len(order) + np.arange(len(rows))
        return Ragged.joined([found, others]).taken(order)


def sampled(encoder: Encoder, table: pa.Table, sampling: Sampling, seed: int, vocabulary: Vocabulary) -> Ragged:
    """Ids of the sources of a table, each cut in a way that its id, its turn and the seed decide."""
    sample: Any = getattr(encoder, "sample_source", None)
    if sample is None:
        raise ModelError("subword_sampling: this tokenizer knows one way to cut a text; leave it out")
    keys = zip(table["source"].to_pylist(), table["id"].to_pylist(), table[TURN].to_pylist(), strict=True)
    rows = [
        sample(text, zlib.crc32(f"{row_id} {turn} {seed}".encode()), sampling.alpha, sampling.nbest_size)
        for text, row_id, turn in keys
    ]
    return Ragged.of(rows, vocabulary)


def _numbers_of(encoder: Encoder, name: str) -> Numbers | None:
    found: Callable[[], Numbers | None] | None = getattr(encoder, name, None)
    return found() if found else None


def _known(tokens: Sequence[str | None], vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
    """The id for each number of the model; -1 where a text is to be spelled out."""
    ids = vocabulary.ids(pa.array(["" if token is None else token for token in tokens], pa.string()))
    return np.where([token is None for token in tokens], np.int32(-1), ids)


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[begin : begin + _TEXTS] for begin in range(0, len(texts), _TEXTS))
