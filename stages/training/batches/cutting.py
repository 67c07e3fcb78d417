"""Rows in order of their length, cut into batches that are full; what fills none is left for later."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
Lengths = npt.NDArray[np.int64]


def cut(rows: Rows, longest: Lengths, batch_tokens: int, middle: int) -> tuple[list[Rows], Rows]:
    """Neighbours as batches of at most `batch_tokens` = rows x longest side, and those that are left, which fill none.

    rows: [n]; longest: [n] the longer side of each. They are cut from both ends towards the place `middle`, where what
    is left is: whichever lengths it has, over many pools those are any. A row that is larger than a batch is one.
    """
    first = _ends(longest[:middle], batch_tokens)
    last = [len(rows) - end for end in _ends(longest[middle:][::-1], batch_tokens)]
    begin, end = (first or [0])[-1], (last or [len(rows)])[-1]
    between = [begin + place for place in _ends(longest[begin:end], batch_tokens)]
    borders = [0, *first, *between]
    batches = [rows[one:other] for one, other in pairwise(borders)]
    borders = [len(rows), *last]
    batches += [rows[other:one] for one, other in pairwise(borders)]
    return batches, rows[(between or [begin])[-1] : end]


def _ends(longest: Lengths, batch_tokens: int) -> list[int]:
    """Where each batch ends that holds no row more."""
    return list(_full(longest.tolist(), batch_tokens))


def _full(longest: list[int], batch_tokens: int) -> Iterator[int]:
    begin = widest = 0
    for end, length in enumerate(longest):
        widest = max(widest, length)
        if end > begin and (end - begin + 1) * widest > batch_tokens:
            yield end
            begin, widest = end, length
    # Not another row of one token would fit.
    if longest and (len(longest) - begin + 1) * widest > batch_tokens:
        yield len(longest)
