"""Which split a row belongs to, or why it belongs to none."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple

from data.ids import fold
from stages.corpus.held_out import HeldOut
from stages.corpus.readers.rows import Reason, Row

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
_GIVEN: Mapping[Split, Reason] = {"test": Reason.IN_TEST_SET, "valid": Reason.IN_VALID_SET}
# What is nearly held out is looked up for so many rows at once.
_ROWS_AT_ONCE = 1024


class Fractions(NamedTuple):
    """Shares of the folded sources that are held out, and the splits that are given, by the indices of origins."""

    test: float
    valid: float
    given: Mapping[int, Split]

    def split(self, row: Row) -> Split:
        """The split of a row, by where it comes from and the hash of its folded source; no share of what is given."""
        if row.group == 0:
            return self.given[row.origin]
        split: Split = "test" if row.point < self.test else "valid" if row.point < self.test + self.valid else "train"
        return "train" if split in self.given.values() else split


def judge(rows: Iterable[Row], fractions: Fractions, held_out: HeldOut) -> Iterator[tuple[Row, Split | Reason]]:
    """Every row of a source with its split, or the reason why it is dropped; `rows` must be sorted.

    Of rows with one id the first is kept: sorted so, one with a reference, and then the one read first. All rows
    of one folded source have one point, hence one split, and follow each other, those of given sets in front. Those
    are kept as they are, whole, and nothing is said of them here.
    """
    waiting, point, last = iter(rows), -1.0, ""
    given: dict[str, Split] = {}
    while chunk := list(islice(waiting, _ROWS_AT_ONCE)):
        near = held_out.find(chunk)
        for number, row in enumerate(chunk):
            if row.point != point:
                point, given = row.point, {}
            split = fractions.split(row)
            if row.group == 0:
                # A text of both a test and a valid set is the test set's.
                given.setdefault(fold(row.source), split)
                continue
            if given and (where := given.get(fold(row.source))):
                yield row, _GIVEN[where]
            elif row.id == last:
                yield row, Reason.DUPLICATE
            else:
                last = row.id
                reason = held_out.verdict(near, number) if split == "train" else None
                if row.monolingual and split != "train":
                    reason = Reason.HELD_OUT_MONOLINGUAL
                yield row, reason or split
