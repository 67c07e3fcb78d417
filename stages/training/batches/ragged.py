"""Rows of different lengths kept as one flat array, so that a batch is one gather."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.training.vocabulary import Vocabulary


@dataclass(frozen=True)
class Ragged:
    """N rows of ids: row i is `flat[starts[i] : starts[i] + lengths[i]]`."""

    flat: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]  # [N]
    lengths: npt.NDArray[np.int64]  # [N]

    @classmethod
    def of(cls, tokens: pa.ChunkedArray | Sequence[Sequence[str]], vocabulary: Vocabulary) -> "Ragged":
        """Ids of N lists of tokens."""
        lists = _one_array(tokens)
        offsets = np.asarray(lists.offsets.to_numpy(), dtype=np.int64)
        flat = vocabulary.ids(lists.values.slice(offsets[0], offsets[-1] - offsets[0]))
        return cls(flat, offsets[:-1] - offsets[0], np.diff(offsets))

    @classmethod
    def packed(cls, flat: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> "Ragged":
        """N rows of these lengths that lie one after the other."""
        return cls(flat, np.cumsum(lengths) - lengths, lengths)

    @classmethod
    def joined(cls, parts: "Sequence[Ragged]") -> "Ragged":
        """The rows of all parts, each of which must be packed."""
        flat = np.concatenate([part.flat for part in parts])
        return cls.packed(flat, np.concatenate([part.lengths for part in parts]))

    def taken(self, rows: npt.NDArray[np.intp]) -> "Ragged":
        """These rows, packed."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        places = np.repeat(self.starts[rows] - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
        return Ragged.packed(self.flat[places], lengths)

    def within(self, before: "Sequence[int] | npt.NDArray[np.int32]" = (), after: Sequence[int] = ()) -> "Ragged":
        """The same rows with these ids around each, or before each its own [N, n]; they must be packed."""
        ahead = np.asarray(before, dtype=np.int32)
        width = ahead.shape[-1]
        rows, more = np.arange(len(self.starts)), width + len(after)
        starts, lengths = self.starts + rows * more, self.lengths + more
        flat = np.empty(len(self.flat) + len(rows) * more, dtype=np.int32)
        flat[np.arange(len(self.flat)) + np.repeat(rows * more + width, self.lengths)] = self.flat
        flat[starts[:, None] + np.arange(width)] = ahead
        flat[(starts + lengths)[:, None] - len(after) + np.arange(len(after))] = after
        return Ragged(flat, starts, lengths)

    def padded(self, rows: npt.NDArray[np.intp], padding: int) -> npt.NDArray[np.int32]:
        """The rows side by side, [B, longest], filled up with `padding`."""
        places, inside = self._places(rows)
        return np.where(inside, self.flat[places], np.int32(padding))

    def gathered(
        self, values: "npt.NDArray[np.generic] | Ragged", rows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.generic]:
        """Of `values` [len(flat), ...] what belongs to the rows, [sum of their lengths, ...], row after row.

        Values of any number a place are filled up with 0 to the longest of these.
        """
        places, inside = self._places(rows)
        chosen = places[inside]
        return values.padded(chosen, 0) if isinstance(values, Ragged) else values[chosen]

    def _places(self, rows: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        lengths = self.lengths[rows][:, None]
        steps = np.arange(lengths.max())[None, :]
        inside = steps < lengths
        return np.where(inside, self.starts[rows][:, None] + steps, 0), inside


def _one_array(tokens: Any) -> pa.ListArray:
    if isinstance(tokens, pa.ChunkedArray):
        tokens = tokens.combine_chunks()
        if isinstance(tokens, pa.ChunkedArray):  # what pyarrow returns where nothing is left to combine
            tokens = pa.concat_arrays(tokens.chunks) if tokens.num_chunks else pa.array([], tokens.type)
        return tokens
    return pa.array(tokens, pa.list_(pa.string()))
