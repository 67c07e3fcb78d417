"""A language model that translates: source and target as one sequence, of which the target alone is learned."""

import numpy as np
import numpy.typing as npt

from stages.training.batches.batches import Batch
from stages.training.vocabulary import PADDING_ID


def joined(batch: Batch, separator: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Rows of source, `separator` and target without its end, [B, L], padded; and the places of what is learned, [n].

    A place is a row times L plus a column: where the model says the next token of the target, which is first at the
    separator and last at the last token, for the end. The batch's sources begin with all that goes before them.
    """
    before = batch.tgt[:, :-1].copy()
    before[:, 0] = separator
    lengths = batch.tgtlen
    steps = np.arange(before.shape[1])
    inside = steps < lengths[:, None]
    width = int((batch.srclen + lengths).max())
    columns = (batch.srclen[:, None] + steps)[inside]
    rows = np.repeat(np.arange(len(lengths)), lengths)
    sequence = np.full((len(lengths), width), PADDING_ID, dtype=batch.src.dtype)
    sequence[:, : batch.src.shape[1]] = batch.src
    sequence[rows, columns] = before[inside]
    return sequence, rows * width + columns
