"""Sampled soft targets as packed columns: entries drawn from the teacher's distribution, and how often each was.

At every position the teacher's distribution is drawn from, with replacement; counts / draws estimates it without bias,
whatever the number of draws (https://arxiv.org/abs/2503.16870). A position has as many entries as distinct ids were
drawn, so columns are ragged: `drawn_entries` [T] counts them, `drawn_ids` and `drawn_counts` [E] hold them one position
after the other, ids rising. In the compact encoding ids are gaps, low bytes apart from the rest as in data/compact.py;
nothing is lost of them in either. E is the number of entries of all positions together, N that of positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data import compact
from data.errors import DataError
from data.packed_columns import packed, unpacked
from data.soft_targets import (
    Conditioning,
    SoftTargetFormat,
    check_ids,
    check_room,
    position_columns,
    position_count,
    row_lengths,
    table_of,
)

COLUMNS = ("drawn_entries", "drawn_ids", "drawn_ids_high", "drawn_counts")
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn at N positions: position n has the next `entries[n]` of the E ids and counts."""

    entries: Array  # [N]
    ids: Array  # [E], rising within a position
    counts: Array  # [E], at least 1; those of a position sum to the draws


def counted(ids: Array) -> Drawn:
    """Drawn ids [N, draws], each position's in rising order, as distinct ids with counts."""
    positions, draws = ids.shape
    is_new = np.ones(ids.shape, dtype=bool)
    is_new[:, 1:] = ids[:, 1:] != ids[:, :-1]
    places = np.flatnonzero(is_new)
    counts = np.diff(places, append=positions * draws)
    return Drawn(is_new.sum(axis=1), ids.reshape(-1)[places], counts)


def pack_drawn(
    *,
    row_ids: Sequence[str],
    lengths: Sequence[int],
    conditioning: Conditioning | Sequence[Conditioning],
    drawn: Drawn,
    token_log_probs: Array,
    entropy: Array,
    target_format: SoftTargetFormat,
) -> pa.Table:
    """A SOFT_TARGETS table of mode sampled from the positions of all rows, one row after the other.

    `token_log_probs` and `entropy` are [N]. Raises DataError as `data.soft_targets.pack` does, and when a position's
    ids do not rise or its counts do not sum to the draws.
    """
    if target_format.mode != "sampled":
        raise DataError(f"drawn entries in a format of mode {target_format.mode}; expected sampled")
    positions = position_count(row_ids, lengths)
    _check(drawn, positions, target_format)
    of_rows = np.asarray(lengths, dtype=np.int64)
    others = {"token_log_probs": token_log_probs, "entropy": entropy}
    columns = {
        name: packed(name, values, of_rows)
        for name, values in position_columns(others, positions, target_format).items()
    }
    kind = _counts_type(target_format)
    columns["drawn_entries"] = packed("drawn_entries", drawn.entries.astype(kind), of_rows)
    of_entries = {**_packed_ids(drawn, target_format), "drawn_counts": drawn.counts.astype(kind)}
    entries = _by_row(drawn.entries, of_rows)
    columns |= {name: packed(name, values, entries) for name, values in of_entries.items()}
    return table_of(row_ids, lengths, conditioning, columns, target_format)


def drawn(table: pa.Table) -> Drawn:
    """What was drawn at all positions of a table, in any encoding; needs the columns COLUMNS and `length`.

    Raises DataError when the soft targets are not sampled, or a row's bytes do not fit.
    """
    target_format = SoftTargetFormat.of(table.schema)
    if target_format.mode != "sampled":
        raise DataError(
            f"these soft targets are the {target_format.k} most probable entries and not drawn; read them with "
            'data.soft_targets.topk, or score again with score.mode = "sampled"'
        )
    kind, lengths = _counts_type(target_format), row_lengths(table)
    entries = unpacked(table, "drawn_entries", lengths, kind, "T").astype(np.int64)
    of_rows = _by_row(entries, lengths)

    def column(name: str, dtype: np.dtype[Any]) -> Array:
        return unpacked(table, name, of_rows, dtype, "drawn entries")

    counts = column("drawn_counts", kind)
    if target_format.encoding == "exact":
        return Drawn(entries, column("drawn_ids", target_format.ids_type), counts)
    low, high = column("drawn_ids", np.dtype("u1")), column("drawn_ids_high", target_format.high_type)
    return Drawn(entries, compact.decode_gaps(low, high, entries).astype(target_format.ids_type), counts)


def _counts_type(target_format: SoftTargetFormat) -> np.dtype[Any]:
    """What holds a count, which may be all draws."""
    return np.dtype("u1") if target_format.draws < 2**8 else np.dtype("<u2")


def _packed_ids(drawn: Drawn, target_format: SoftTargetFormat) -> dict[str, Array]:
    first = _first(drawn.entries)
    low, high = compact.encode_gaps(drawn.ids, first)
    if target_format.encoding == "exact":
        return {"drawn_ids": drawn.ids.astype(target_format.ids_type)}
    check_room(target_format)
    return {"drawn_ids": low, "drawn_ids_high": high.astype(target_format.high_type)}


def _first(entries: Array) -> npt.NDArray[np.bool_]:
    """Which of the E entries are the first of their position."""
    first = np.zeros(int(entries.sum()), dtype=bool)
    first[np.cumsum(entries) - entries] = True
    return first


def _by_row(entries: Array, lengths: Array) -> npt.NDArray[np.int64]:
    """Entries of every row, [rows]."""
    ends = np.concatenate([[0], np.cumsum(entries, dtype=np.int64)])
    return np.asarray(np.diff(ends[np.concatenate([[0], np.cumsum(lengths)])]))


def _check(drawn: Drawn, positions: int, target_format: SoftTargetFormat) -> None:
    total = int(drawn.entries.sum())
    found = (len(drawn.entries), len(drawn.ids), len(drawn.counts))
    if found != (positions, total, total):
        raise DataError(
            f"drawn are {found[1]} ids and {found[2]} counts at {found[0]} positions; expected {total} of each "
            f"at {positions}"
        )
    check_ids("drawn_ids", drawn.ids, target_format.vocabulary_size)
    if positions and drawn.entries.min() < 1:
        raise DataError(f"nothing was drawn at position {int(drawn.entries.argmin())}; expected one entry or more")
    sums = np.add.reduceat(drawn.counts, np.cumsum(drawn.entries) - drawn.entries) if positions else drawn.counts
    if (sums != target_format.draws).any() or (total and drawn.counts.min() < 1):
        raise DataError(f"a position's counts sum to {sums.min()} .. {sums.max()}; expected {target_format.draws}")
